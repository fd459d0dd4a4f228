"""Reading and scoring the Bundles of a folder, as the gateway does."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from api.protocols.fhir.latest import PassedOver
from api.protocols.fhir.lenient import LenientParser, Reading
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from api.strict_json import without_bom
from runtime.settings import Fhir
from schemas.codec import decode_score, encode_scores
from schemas.errors import DataError, RejectionCode, ValidationIssue
from schemas.fhir.mapping import FhirMapping
from schemas.records import Score
from schemas.tables.feature_table import PATIENT_ID
from scoring.batches import JsonBatch
from scoring.scorer import Scorer

Errors = tuple[ValidationIssue, ...]
_SUFFIXES: Final = (".json", ".xml")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a Bundle.

    `read` has the fields that were read, each with the date of its Observation, None if it has none; those in
    `answered` are from a QuestionnaireResponse. A refused Bundle has `errors`, and no risk.
    """

    file: str
    risk: float | None = None
    interval: tuple[float, float] | None = None
    read: dict[str, str | None] = {}
    answered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    other_observations: int = 0
    other_resources: int = 0
    other_answers: int = 0
    errors: tuple[ValidationIssue, ...] = ()
    notes: tuple[str, ...] = ()


class BundleTrial:
    """Reads Bundles leniently, and scores them."""

    def __init__(self, scorer: Scorer, settings: Fhir, today: dt.date) -> None:
        """Raises DataError if the model's feature table has no FHIR operation."""
        mapping = FhirMapping.of(scorer.compiled.table)
        if mapping is None:
            raise DataError("the model's feature table has no [fhir]: docs/fhir.md describes it")
        self._parser = LenientParser(mapping, scorer.compiled.records, settings.lookback_days)
        self._limit = settings.body_limit_bytes
        self._scorer = scorer
        self._today = today

    def of_file(self, path: Path) -> Trial:
        """Return what becomes of the Bundle in a file. Raises OSError."""
        if path.stat().st_size > self._limit:
            text = f"larger than HEARTSTREAM_FHIR__BODY_LIMIT_BYTES, which is {self._limit}"
            return Trial(file=path.name, errors=(ValidationIssue(RejectionCode.TOO_LARGE, "", text),))
        reading = self._parser.parse(without_bom(path.read_bytes()), self._today)
        result = reading.result
        if isinstance(result, RefusedBundle):
            return _trial(path, reading, errors=result.issues)
        results = self._scorer.score(JsonBatch([result.record]).decode(self._scorer.compiled))
        if results.rejected:
            return _trial(path, reading, errors=result.issues_of(results.rejected[0]))
        (encoded,) = encode_scores(results.scores)
        return _trial(path, reading, decode_score(encoded))


def bundle_files(folder: Path) -> Sequence[Path]:
    """Return the files of a folder, by name. Raises DataError if there are none, OSError if it is not a folder."""
    found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{folder} has no file that ends in {' or '.join(_SUFFIXES)}")
    return found


def _trial(path: Path, reading: Reading, score: Score | None = None, errors: Errors = ()) -> Trial:
    read = {each.field: each.days[1].isoformat() if each.days else None for each in reading.used}
    if isinstance(reading.result, ParsedBundle):
        sent = json.loads(reading.result.record)
        of_patient = (name for name in sent if name != PATIENT_ID and sent[name] is not None)
        read = dict.fromkeys(of_patient) | read
    return Trial(
        file=path.name,
        risk=score.risk if score else None,
        interval=(score.interval or None) if score else None,
        read=read,
        answered=tuple(dict.fromkeys(each.field for each in reading.used if each.is_answer)),
        missing=score.missing if score else (),
        passed_over=reading.passed_over,
        other_observations=reading.other_observations,
        other_resources=reading.other_resources,
        other_answers=reading.other_answers,
        errors=errors,
        notes=reading.result.notes,
    )
