"""Scores records and data frames in a Python process."""

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
from schemas.codec import decode_score, encode_score
from schemas.errors import DataError, ValidationIssue
from schemas.records import Details, ModelRef, PatientRecord, Score
from schemas.tables.feature_table import FeatureTable
from scoring.batches import JsonBatch
from scoring.engines import Vector
from scoring.evidence import SourceWindow
from scoring.pipeline import Batch, Outcome, joined
from scoring.scorer import Scorer
from scoring.sources import reject_foreign_source

if TYPE_CHECKING:
    from heartstream.files.dataframes import ArrowTable

Record = PatientRecord | Mapping[str, object] | bytes | str | None

_ONE_RECORD: Final = (PatientRecord, Mapping, bytes, str)
_KINDS: Final = "a PatientRecord, a mapping, or JSON as bytes or str"


class Rejection(msgspec.Struct, frozen=True):
    """Why a record was rejected: all its errors, as in a dead letter."""

    errors: tuple[ValidationIssue, ...]


class Results(Sequence[Score | Rejection]):
    """A score or rejection for each record, in the order of the records."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes = outcomes

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._outcomes)

    @overload
    def __getitem__(self, place: int) -> Score | Rejection: ...
    @overload
    def __getitem__(self, place: slice) -> Results: ...
    def __getitem__(self, place: int | slice) -> Score | Rejection | Results:
        """Return the score or rejection of a record."""
        if isinstance(place, slice):
            return Results(self._outcomes[place])
        outcome = self._outcomes[place]
        return Rejection(outcome) if isinstance(outcome, tuple) else decode_score(encode_score(outcome))

    @property
    def risks(self) -> Vector:
        """The risks (n,), 0 to 1, as a float64 array; NaN for rejected records."""
        risks = (np.nan if isinstance(each, tuple) else each.risk for each in self._outcomes)
        return np.fromiter(risks, np.float64, len(self._outcomes))

    @property
    def rejections(self) -> dict[int, Rejection]:
        """The rejections, by position from 0."""
        found = enumerate(self._outcomes)
        return {place: Rejection(each) for place, each in found if isinstance(each, tuple)}

    def __repr__(self) -> str:
        """Count the records; their values do not belong in a log."""
        rejected = len(self.rejections)
        return f"<heartstream.Results: {len(self) - rejected} scored, {rejected} rejected>"


class Model:
    """A verified model that is ready to score; `load_model` creates it. It is thread-safe."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._lock = Lock()

    @property
    def ref(self) -> ModelRef:
        """The model's name, version and digest, as in its scores."""
        return self._scorer.model

    @property
    def table(self) -> FeatureTable:
        """The feature table of the records that the model scores."""
        return self._scorer.compiled.table

    @property
    def record_type(self) -> type[PatientRecord]:
        """The type of a record, with a field for each of the table's: a mapping with the same names does as well."""
        return self._scorer.compiled.records.type

    @property
    def threshold(self) -> float:
        """The label of a score is 1 from this risk on."""
        return self._scorer.manifest.threshold

    @property
    def disclaimer(self) -> str:
        """The text that must accompany every risk of this model."""
        return self._scorer.manifest.data.disclaimer

    def score(self, records: Iterable[Record] | ArrowTable, *, coding: str | None = None) -> Results:
        """Score records, or the rows of a table; returns a result for each, in the same order.

        A record is a `PatientRecord`, a mapping with the same names, or JSON. A table is a data frame of pandas, Polars
        or pyarrow, or anything else that exports Arrow: `patient_id`, text, and the fields of `table`. Null means "not
        measured"; so does NaN in a pandas data frame, but nowhere else.

        `coding` applies to records that name none. One call is one source: if enough of its records show another
        coding, none of the records without a named coding is scored.

        Raises DataError if the columns of a table are not those of a record, or the coding is unknown, and TypeError
        if something is neither a record nor a table. The messages contain no values.
        """
        compiled = self._scorer.compiled
        table = compiled.table
        if coding is not None and coding not in table.coding_by_name:
            raise DataError(f"the coding {table.codings_text}")
        if _is_table(records):
            batches = self._rows(records, coding)
        else:
            batches = self._records(cast("Iterable[Record]", records), coding)
        results = []
        for batch in batches:
            with self._lock:
                results.append(self._scorer.score(batch.decode(compiled)))
        return Results(reject_foreign_source(joined(results), SourceWindow(), table).outcomes())

    def _records(self, records: Iterable[Record], coding: str | None) -> Iterator[Batch]:
        if isinstance(records, _ONE_RECORD):
            raise TypeError("score expects several records: put a single one into a list")
        as_sent = self._scorer.details.input_digest
        values = (_json_of(record, place, as_sent=as_sent) for place, record in enumerate(records))
        while batch := [*islice(values, BATCH_ROWS)]:
            yield JsonBatch(batch, coding)

    def _rows(self, table: ArrowTable, coding: str | None) -> Iterator[Batch]:
        with files_extra():
            from heartstream.files.columns import columns_of  # noqa: PLC0415  # pyarrow, where it is needed
            from heartstream.files.dataframes import batches_of  # noqa: PLC0415  # the same
        feature_table = self._scorer.compiled.table
        for batch in batches_of(table, feature_table):
            yield columns_of(batch, feature_table, coding)


def load_model(
    path: Path | str,
    *,
    name: str | None = None,
    public_key: bytes | None = None,
    details: Details = Details(),  # noqa: B008  # it is frozen
) -> Model:
    """Load and verify a model directory, as `heartstream train` writes it. Blocks for some milliseconds.

    `name` selects one of its models, by default the best one. With `public_key`, the content of a PEM file, the model
    must be signed with its private key. `details` selects optional fields of scores. The environment is not read.

    Raises ArtifactError, with every problem of the directory.
    """
    return Model(Scorer.from_directory(Path(path), name, details, public_key))


def _is_table(records: object) -> TypeGuard[ArrowTable]:
    # Older versions of pandas have columns, but do not export Arrow.
    return hasattr(records, "__arrow_c_stream__") or hasattr(records, "columns")


def _json_of(record: object, place: int, *, as_sent: bool) -> bytes | None:
    """Return a record as JSON; with `as_sent` it must be JSON already, as the digest is of the original bytes."""
    match record:
        case None | bytes():
            return record
        case str():
            return record.encode("utf-8", "surrogatepass")
    if not isinstance(record, PatientRecord | Mapping):
        raise TypeError(f"record {place} is of type {type(record).__name__}: give {_KINDS}")
    if as_sent:
        raise TypeError(f"record {place} has no original bytes for input_digest: give records as JSON")
    fields = msgspec.structs.asdict(record) if isinstance(record, PatientRecord) else dict(record)
    if fields.get("coding") is msgspec.UNSET:
        del fields["coding"]
    # Not msgspec's encoder, which writes NaN as null: an error would become "not measured".
    return json.dumps(fields, default=_unboxed(place)).encode()


def _unboxed(place: int) -> Callable[[object], object]:
    """Return a converter of NumPy numbers to Python's; it raises TypeError for anything else."""

    def unboxed(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        kind = type(value).__name__
        raise TypeError(f"record {place} contains a {kind}: use numbers, and None for values not measured")

    return unboxed
