"""The story of a record, for every door: bytes in, one outcome out, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import repeat
from typing import Final

import msgspec
import numpy as np

from schemas.codec import decode, decode_coded
from schemas.codings import CODINGS
from schemas.errors import ArtifactError, Fault, FaultCode
from schemas.faults import examine
from schemas.records import PatientRecord, Source
from scoring.engines import Explanation, Vector
from scoring.evidence import Evidence, evidence_of
from scoring.matrix import Mask, Matrix, as_matrix, blank_missing, convert, legal_rows
from scoring.scorer import Scorer, are_probabilities


class Scored(msgspec.Struct, frozen=True, gc=False):
    """A record that has a score; `value` is the score as JSON."""

    value: bytes


class ScoredAsDeclared(Scored, frozen=True, gc=False):
    """The same of a record that names its coding: what its neighbours are in says nothing of it."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be scored, with all that is wrong with it."""

    faults: tuple[Fault, ...]

    @property
    def is_foreign(self) -> bool:
        """Say whether the record shows that its source may be in another coding."""
        return any(fault.code is FaultCode.FOREIGN_CODE for fault in self.faults)


Outcome = Scored | Rejected

_MODEL_FAILURE: Final = Rejected((Fault(FaultCode.MODEL_FAILURE, "", "the model could not score this record"),))


Unwrap = Callable[[int], bytes | tuple[Fault, ...] | None]
"""Returns what is to be decoded of the record at a place, or all that is wrong with what it came in.

It is asked only of records that are no patient record by themselves, so that those which are cost nothing more.
"""


class Columns(msgspec.Struct, frozen=True):
    """A batch that came as columns: ids, and numbers (n, 13) as sent with NaN for null, which are changed.

    `doubtful` (n,) marks the rows that are not plainly an id and numbers. `write` returns the record that a row stands
    for as JSON: it is called for rows that are doubtful or not legal, so that they are judged as any record is.
    `coding` is the one that was named for all of them.
    """

    patient_ids: list[str]
    matrix: Matrix
    doubtful: Mask
    write: Callable[[int], bytes]
    coding: str | None = None


class Lines(msgspec.Struct, frozen=True):
    """What came of a batch without sources: the scores as JSON lines, and the places of rejected records.

    `risks` (scored,) are those of the lines, `labels` (scored,) true where theirs is 1. `evidence` tells what the
    records say of the coding of their source.
    """

    scores: bytes
    risks: Vector
    labels: Mask
    rejected: list[tuple[int, Rejected]]
    evidence: Evidence

    @property
    def scored(self) -> int:
        """How many scores there are."""
        return len(self.risks)


class _Rows(msgspec.Struct, frozen=True):
    """The records of a batch that are still to be scored: their places in the batch, ids and numbers (n, 13).

    `declared` has the places of those that name their coding, or whose source does.
    """

    places: list[int]
    patient_ids: list[str]
    matrix: Matrix
    declared: AbstractSet[int] = frozenset()

    def of(self, values: Sequence[bytes | None]) -> Iterator[bytes | None]:
        """Yield what each record came as, from what the batch came as."""
        return map(values.__getitem__, self.places)

    def where(self, mask: Mask) -> _Rows:
        """Keep the rows that `mask` selects."""
        rows = np.flatnonzero(mask).tolist()
        places, ids = [self.places[row] for row in rows], [self.patient_ids[row] for row in rows]
        return _Rows(places, ids, self.matrix[mask], self.declared)


def process(
    values: Sequence[bytes | None],
    sources: Sequence[Source | None],
    scorer: Scorer,
    unwrap: Unwrap | None = None,
    coding: str | None = None,
) -> list[Outcome]:
    """Decode, validate, score and encode a batch; returns one outcome a record, in order.

    `sources` has one entry a value (None where the record came from no topic). The same value and source give the same
    bytes in any batch. `unwrap` is for doors whose records may come in something else; a digest is of what came.
    `coding` is that of all records that name none, where it is known of their source.
    Raises ArtifactError when it is the model that is broken, not a record.
    """
    rejected: dict[int, Rejected] = {}
    rows = _readable(values, rejected, unwrap, coding)
    rows = _legal(rows, values, rejected, unwrap, coding)
    rows, found = _scorable(rows, scorer, rejected)
    if scorer.window is not None:
        scorer.window.note(rows.matrix, found.risks)
    encoded = scorer.encode(
        rows.patient_ids, rows.matrix, found, [sources[place] for place in rows.places], rows.of(values)
    )
    if not (rejected or rows.declared):
        return [Scored(value) for value in encoded]
    kinds = (ScoredAsDeclared if place in rows.declared else Scored for place in rows.places)
    scored = {place: kind(value) for place, kind, value in zip(rows.places, kinds, encoded, strict=True)}
    return [scored.get(place) or rejected[place] for place in range(len(values))]


def process_lines(values: Sequence[bytes], scorer: Scorer, coding: str | None = None) -> Lines:
    """Do what `process` does, for records that came from no topic; the scores come as lines. Raises ArtifactError.

    Records that name no coding are in `coding`, where that is named for their source.
    """
    rejected: dict[int, Rejected] = {}
    rows = _readable(values, rejected, coding=coding)
    rows = _legal(rows, values, rejected, coding=coding)
    return _as_lines(rows, rejected, scorer, values)


def process_columns(columns: Columns, scorer: Scorer) -> Lines:
    """Do what `process_lines` does with the records that these columns stand for, at less than half the cost.

    Raises ArtifactError.
    """
    blank_missing(columns.matrix)
    places, declared = list(range(len(columns.matrix))), frozenset[int]()
    if columns.coding is not None:
        convert(columns.matrix, CODINGS[columns.coding])
        declared = frozenset(places)
    legal = legal_rows(columns.matrix) & ~columns.doubtful
    rows = _Rows(places, columns.patient_ids, columns.matrix, declared)
    if legal.all():
        return _as_lines(rows, {}, scorer)
    rejected: dict[int, Rejected] = {}
    for row in np.flatnonzero(~legal).tolist():
        faults = examine(columns.write(row), columns.coding)
        if isinstance(faults, PatientRecord):
            return _written_out(columns, rows, scorer)
        rejected[row] = Rejected(faults)
    return _as_lines(rows.where(legal), rejected, scorer)


def _written_out(columns: Columns, rows: _Rows, scorer: Scorer) -> Lines:
    """Score rows by what they stand for. They stay rows of a table: what is written here is not what came."""
    rejected: dict[int, Rejected] = {}
    written, coding = [columns.write(row) for row in rows.places], columns.coding
    found = _readable(written, rejected, coding=coding)
    return _as_lines(_legal(found, written, rejected, coding=coding), rejected, scorer)


def _as_lines(
    rows: _Rows, rejected: dict[int, Rejected], scorer: Scorer, values: Sequence[bytes] | None = None
) -> Lines:
    rows, found = _scorable(rows, scorer, rejected)
    if scorer.census is not None:
        scorer.census.note(rows.matrix, found.risks)
    scores = scorer.encode_lines(
        rows.patient_ids, rows.matrix, found, repeat(None) if values is None else rows.of(values)
    )
    labels, told = found.risks >= scorer.manifest.threshold, sorted(rejected.items())
    undeclared = [place for place in rows.places if place not in rows.declared] if rows.declared else rows.places
    evidence = evidence_of(undeclared, [place for place, each in told if each.is_foreign])
    return Lines(scores, found.risks, labels, told, evidence)


def _readable(
    values: Sequence[bytes | None],
    rejected: dict[int, Rejected],
    unwrap: Unwrap | None = None,
    coding: str | None = None,
) -> _Rows:
    """Decode each value; reject those that are no record, and put the others into UCI's codes."""
    places: list[int] = []
    records: list[PatientRecord] = []
    codings: dict[int, str] = {}
    for place, value in enumerate(values):
        record: PatientRecord | tuple[Fault, ...] | None = decode(value)
        if record is None:
            record = _look_closer(value, place, unwrap, coding)
            if isinstance(record, PatientRecord) and isinstance(record.coding, str):
                codings[len(records)] = record.coding
        if isinstance(record, PatientRecord):
            places.append(place)
            records.append(record)
        else:
            rejected[place] = Rejected(record)
    matrix = as_matrix(records)
    blank_missing(matrix)
    ids = [record.patient_id for record in records]
    if coding is not None:
        codings = dict.fromkeys(range(len(records)), coding) | codings
    return _Rows(places, ids, matrix, _converted(matrix, codings, places) if codings else frozenset())


def _converted(matrix: Matrix, codings: Mapping[int, str], places: Sequence[int]) -> frozenset[int]:
    """Put rows into UCI's codes, in place; returns the places of those that name a coding, or whose source does."""
    for name in set(codings.values()):
        rows = [row for row, its in codings.items() if its == name]
        ours = matrix[rows]
        convert(ours, CODINGS[name])
        matrix[rows] = ours
    return frozenset(places[row] for row in codings)


def _look_closer(
    value: bytes | None, place: int, unwrap: Unwrap | None, coding: str | None
) -> PatientRecord | tuple[Fault, ...]:
    """Find the record that a value is after all, or holds; else all that is wrong with it."""
    content = value if unwrap is None else unwrap(place)
    if isinstance(content, tuple):
        return content
    return (None if content is value else decode(content)) or decode_coded(content) or examine(content, coding)


def _legal(
    rows: _Rows,
    values: Sequence[bytes | None],
    rejected: dict[int, Rejected],
    unwrap: Unwrap | None = None,
    coding: str | None = None,
) -> _Rows:
    """Reject records with illegal numbers; the slow path finds out what is wrong with each."""
    legal = legal_rows(rows.matrix)
    if legal.all():
        return rows
    for place in rows.where(~legal).places:
        content = values[place] if unwrap is None or decode(values[place]) else unwrap(place)
        faults = content if isinstance(content, tuple) else examine(content, coding)
        if isinstance(faults, PatientRecord):
            raise AssertionError("the vectorised check refused a record that the slow path accepts")  # noqa: TRY004  # a bug here, not a type
        rejected[place] = Rejected(faults)
    return rows.where(legal)


def _scorable(rows: _Rows, scorer: Scorer, rejected: dict[int, Rejected]) -> tuple[_Rows, Explanation]:
    """Score the records; reject those on which the model fails, unless it is the model that is broken."""
    found = _attempt(rows.matrix, scorer)
    if found is not None and are_probabilities(found.risks):
        return rows, found
    if not scorer.is_sound():
        raise ArtifactError("the model no longer reproduces its own results on golden records")
    scored = _isolated(rows.matrix, scorer)
    rejected.update(dict.fromkeys(rows.where(~scored).places, _MODEL_FAILURE))
    rows = rows.where(scored)
    found = _attempt(rows.matrix, scorer)
    if found is None:
        raise ArtifactError("the model fails on records that it has just scored")
    return rows, found


def _attempt(matrix: Matrix, scorer: Scorer) -> Explanation | None:
    """Score a batch; None if the model raises: golden records tell later if it is to blame, or a record."""
    if not len(matrix):
        return Explanation(np.empty(0))
    try:
        return scorer.explain(matrix)
    except Exception:  # noqa: BLE001  # whatever a model raises
        return None


def _isolated(matrix: Matrix, scorer: Scorer) -> Mask:
    """Say which records can be scored: when the model raises, the batch is halved until the culprit stands alone."""
    found = _attempt(matrix, scorer)
    if found is not None:
        scored: Mask = (found.risks >= 0) & (found.risks <= 1)
        return scored
    if len(matrix) == 1:
        return np.array([False])
    middle = len(matrix) // 2
    return np.concatenate([_isolated(matrix[:middle], scorer), _isolated(matrix[middle:], scorer)])
