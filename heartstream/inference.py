"""Scoring in a Python process: a model directory, and what it makes of records and data frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeGuard, cast, overload

import msgspec
import numpy as np

from heartstream.files.batching import BATCH_ROWS
from heartstream.optional_deps import files_extra
from schemas.codec import decode_score
from schemas.codings import CODINGS, unknown_coding_text
from schemas.errors import DataError, Fault
from schemas.records import Details, ModelRef, PatientRecord, Score
from scoring.engines import Vector
from scoring.evidence import SourceWindow
from scoring.pipeline import Lines, Outcome, Rejected, Scored, ScoredAsDeclared, process, process_columns
from scoring.scorer import Scorer
from scoring.sources import judged

if TYPE_CHECKING:
    from heartstream.files.dataframes import ArrowTable

Record = PatientRecord | Mapping[str, object] | bytes | str | None

_ONE_RECORD: Final = (PatientRecord, Mapping, bytes, str)
_KINDS: Final = "a PatientRecord, a mapping, or JSON as bytes or str"


class Rejection(msgspec.Struct, frozen=True):
    """Why a record has no score: all that is wrong with it, as in a dead letter."""

    errors: tuple[Fault, ...]


class _Risk(msgspec.Struct):
    risk: float


_risk_of: Final = msgspec.json.Decoder(_Risk).decode


class Results(Sequence[Score | Rejection]):
    """What became of each record, in the order in which they were given."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes

    def __len__(self) -> int:
        """Return how many records there were."""
        return len(self._outcomes)

    @overload
    def __getitem__(self, place: int) -> Score | Rejection: ...
    @overload
    def __getitem__(self, place: slice) -> Results: ...
    def __getitem__(self, place: int | slice) -> Score | Rejection | Results:
        """Return the score of a record, or why it was rejected."""
        if isinstance(place, slice):
            return Results(self._outcomes[place])
        outcome = self._outcomes[place]
        return Rejection(outcome.faults) if isinstance(outcome, Rejected) else decode_score(outcome.value)

    @property
    def risks(self) -> Vector:
        """The risks (n,), 0 to 1, as a float64 array; NaN where a record was rejected."""
        risks = (np.nan if isinstance(each, Rejected) else _risk_of(each.value).risk for each in self._outcomes)
        return np.fromiter(risks, np.float64, len(self._outcomes))

    @property
    def rejections(self) -> dict[int, Rejection]:
        """The rejected records: their places, counted from 0, and why they were rejected."""
        found = enumerate(self._outcomes)
        return {place: Rejection(each.faults) for place, each in found if isinstance(each, Rejected)}

    def __repr__(self) -> str:
        """Count the records; their values do not belong in a log."""
        rejected = len(self.rejections)
        return f"<heartstream.Results: {len(self) - rejected} scored, {rejected} rejected>"


class Model:
    """A model that was verified and is ready to score; `load_model` makes one. Threads may share it."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._lock = Lock()

    @property
    def ref(self) -> ModelRef:
        """The model's name, version and digest, as its scores have them."""
        return self._scorer.model

    @property
    def threshold(self) -> float:
        """From this risk on, the label of a score is 1."""
        return self._scorer.manifest.threshold

    @property
    def disclaimer(self) -> str:
        """The text that must accompany every risk of this model."""
        return self._scorer.manifest.data.disclaimer

    def score(self, records: Iterable[Record] | ArrowTable, *, coding: str | None = None) -> Results:
        """Score records, or the rows of a table; returns a result for each, in their order.

        A record is a `PatientRecord`, a mapping with the same names, or its JSON. A table is a data frame of pandas,
        Polars or pyarrow, or anything else that exports Arrow: `patient_id`, text, and the 13 fields, numbers. Null is
        "not measured"; so is NaN in a pandas data frame, but nowhere else.

        `coding` is that of all records that name none. One call is taken for one source: where enough of its records
        show another coding, none of those that name no coding is scored.

        Raises DataError where a table's columns are not those of a record, or the coding is unknown, and TypeError
        where something is neither a record nor a table. Their texts hold no values.
        """
        if coding is not None and coding not in CODINGS:
            raise DataError(f"the coding {unknown_coding_text()}")
        if _is_table(records):
            outcomes = self._rows(records, coding)
        else:
            outcomes = self._records(cast("Iterable[Record]", records), coding)
        return Results(judged(outcomes, SourceWindow()))

    def _records(self, records: Iterable[Record], coding: str | None) -> list[Outcome]:
        if isinstance(records, _ONE_RECORD):
            raise TypeError("score takes many records: put a single one into a list")
        as_sent = self._scorer.details.input_digest
        values = (_json_of(record, place, as_sent=as_sent) for place, record in enumerate(records))
        outcomes: list[Outcome] = []
        while batch := [*islice(values, BATCH_ROWS)]:
            with self._lock:
                outcomes += process(batch, [None] * len(batch), self._scorer, coding=coding)
        return outcomes

    def _rows(self, table: ArrowTable, coding: str | None) -> list[Outcome]:
        with files_extra():
            from heartstream.files.columns import columns_of  # noqa: PLC0415  # pyarrow, where it is needed
            from heartstream.files.dataframes import batches_of  # noqa: PLC0415  # the same
        kind = Scored if coding is None else ScoredAsDeclared
        outcomes: list[Outcome] = []
        for batch in batches_of(table):
            with self._lock:
                lines = process_columns(columns_of(batch, coding), self._scorer)
            outcomes += _outcomes_of(lines, kind)
        return outcomes


def load_model(
    path: Path | str,
    *,
    name: str | None = None,
    public_key: bytes | None = None,
    details: Details = Details(),  # noqa: B008  # it is frozen
) -> Model:
    """Load and verify a model directory, as `heartstream train` writes it. Blocks for some milliseconds.

    `name` is one of its models, if it is not to be the best one. With `public_key`, the content of a PEM file, the
    model must be signed with its private key. `details` says what scores hold. The environment is not read.

    Raises ArtifactError, with all that is wrong with the directory.
    """
    return Model(Scorer.from_directory(Path(path), name, details, public_key))


def _is_table(records: object) -> TypeGuard[ArrowTable]:
    # Older versions of pandas have columns and do not speak Arrow themselves.
    return hasattr(records, "__arrow_c_stream__") or hasattr(records, "columns")


def _json_of(record: object, place: int, *, as_sent: bool) -> bytes | None:
    """Return a record as JSON; with `as_sent` it must be JSON already, for the digest of another text means nothing."""
    match record:
        case None | bytes():
            return record
        case str():
            return record.encode("utf-8", "surrogatepass")
    if not isinstance(record, PatientRecord | Mapping):
        raise TypeError(f"record {place} is of type {type(record).__name__}: give {_KINDS}")
    if as_sent:
        raise TypeError(f"record {place} has no bytes that input_digest could name: give records as JSON")
    fields = msgspec.structs.asdict(record) if isinstance(record, PatientRecord) else dict(record)
    if fields.get("coding") is msgspec.UNSET:
        del fields["coding"]
    # Not msgspec's encoder, which writes NaN as null: then a mistake would pass for "not measured".
    return json.dumps(fields, default=_unboxed(place)).encode()


def _unboxed(place: int) -> Callable[[object], object]:
    """Return what turns NumPy's numbers into Python's; it raises TypeError for everything else."""

    def unboxed(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        kind = type(value).__name__
        raise TypeError(f"record {place} holds a {kind}: use numbers, and None for what was not measured")

    return unboxed


def _outcomes_of(lines: Lines, kind: type[Scored]) -> Iterator[Outcome]:
    """Put the scores and rejected rows of a batch back into the order of its rows."""
    scores, rejected = iter(lines.scores.splitlines()), dict(lines.rejected)
    for place in range(lines.scored + len(rejected)):
        yield rejected[place] if place in rejected else kind(next(scores))
