"""The story of a record, for every door: bytes in, one outcome out, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

from schemas.codec import decode
from schemas.errors import ArtifactError, Fault, FaultCode
from schemas.faults import examine
from schemas.records import PatientRecord, Source
from scoring.engines import Explanation
from scoring.matrix import Mask, Matrix, as_matrix, blank_missing, legal_rows
from scoring.scorer import Scorer, are_probabilities


class Scored(msgspec.Struct, frozen=True, gc=False):
    """A record that has a score; `value` is the score as JSON."""

    value: bytes


class Rejected(msgspec.Struct, frozen=True):
    """A record that cannot be scored, with all that is wrong with it."""

    faults: tuple[Fault, ...]


Outcome = Scored | Rejected

_MODEL_FAILURE: Final = Rejected((Fault(FaultCode.MODEL_FAILURE, "", "the model could not score this record"),))


class Columns(msgspec.Struct, frozen=True):
    """A batch that came as columns: ids, and numbers (n, 13) as sent with NaN for null, which are changed.

    `doubtful` (n,) marks the rows that are not plainly an id and numbers. `write` returns the record that a row stands
    for as JSON: it is called for rows that are doubtful or not legal, so that they are judged as any record is.
    """

    patient_ids: list[str]
    matrix: Matrix
    doubtful: Mask
    write: Callable[[int], bytes]


class Lines(msgspec.Struct, frozen=True):
    """What came of a batch without sources: the scores as JSON lines, and the places of rejected records."""

    scores: bytes
    scored: int
    rejected: list[tuple[int, Rejected]]


class _Rows(msgspec.Struct, frozen=True):
    """The records of a batch that are still to be scored: their places in the batch, ids and numbers (n, 13)."""

    places: list[int]
    patient_ids: list[str]
    matrix: Matrix

    def where(self, mask: Mask) -> _Rows:
        """Keep the rows that `mask` selects."""
        rows = np.flatnonzero(mask).tolist()
        return _Rows([self.places[row] for row in rows], [self.patient_ids[row] for row in rows], self.matrix[mask])


def process(values: Sequence[bytes | None], sources: Sequence[Source | None], scorer: Scorer) -> list[Outcome]:
    """Decode, validate, score and encode a batch; returns one outcome a record, in order.

    `sources` has one entry a value (None where the record came from no topic). The same value and source give the same
    bytes in any batch. Raises ArtifactError when it is the model that is broken, not a record.
    """
    rejected: dict[int, Rejected] = {}
    rows = _readable(values, rejected)
    rows = _legal(rows, values, rejected)
    rows, found = _scorable(rows, scorer, rejected)
    if scorer.window is not None:
        scorer.window.note(rows.matrix, found.risks)
    encoded = scorer.encode(rows.patient_ids, rows.matrix, found, [sources[place] for place in rows.places])
    if not rejected:
        return [Scored(value) for value in encoded]
    scored = {place: Scored(value) for place, value in zip(rows.places, encoded, strict=True)}
    return [scored.get(place) or rejected[place] for place in range(len(values))]


def process_lines(values: Sequence[bytes], scorer: Scorer) -> Lines:
    """Do what `process` does, for records that came from no topic; the scores come as lines. Raises ArtifactError."""
    rejected: dict[int, Rejected] = {}
    rows = _readable(values, rejected)
    rows = _legal(rows, values, rejected)
    return _as_lines(rows, rejected, scorer)


def process_columns(columns: Columns, scorer: Scorer) -> Lines:
    """Do what `process_lines` does with the records that these columns stand for, at less than half the cost.

    Raises ArtifactError.
    """
    blank_missing(columns.matrix)
    legal = legal_rows(columns.matrix) & ~columns.doubtful
    rows = _Rows(list(range(len(legal))), columns.patient_ids, columns.matrix)
    if legal.all():
        return _as_lines(rows, {}, scorer)
    suspects = np.flatnonzero(~legal).tolist()
    judged = process([columns.write(row) for row in suspects], [None] * len(suspects), scorer)
    rejected = {row: outcome for row, outcome in zip(suspects, judged, strict=True) if isinstance(outcome, Rejected)}
    if len(rejected) < len(suspects):
        return process_lines([columns.write(row) for row in rows.places], scorer)
    return _as_lines(rows.where(legal), rejected, scorer)


def _as_lines(rows: _Rows, rejected: dict[int, Rejected], scorer: Scorer) -> Lines:
    rows, found = _scorable(rows, scorer, rejected)
    scores = scorer.encode_lines(rows.patient_ids, rows.matrix, found)
    return Lines(scores, len(rows.places), sorted(rejected.items()))


def _readable(values: Sequence[bytes | None], rejected: dict[int, Rejected]) -> _Rows:
    """Decode each value; reject those that are no record."""
    places: list[int] = []
    records: list[PatientRecord] = []
    for place, value in enumerate(values):
        record = decode(value) or examine(value)
        if isinstance(record, PatientRecord):
            places.append(place)
            records.append(record)
        else:
            rejected[place] = Rejected(record)
    matrix = as_matrix(records)
    blank_missing(matrix)
    return _Rows(places, [record.patient_id for record in records], matrix)


def _legal(rows: _Rows, values: Sequence[bytes | None], rejected: dict[int, Rejected]) -> _Rows:
    """Reject records with illegal numbers; the slow path finds out what is wrong with each."""
    legal = legal_rows(rows.matrix)
    if legal.all():
        return rows
    for place in rows.where(~legal).places:
        faults = examine(values[place])
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
