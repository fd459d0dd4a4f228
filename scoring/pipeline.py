"""The story of a record, for every door: bytes in, one outcome out, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
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


class _Rows(msgspec.Struct, frozen=True):
    """The records of a batch that are still to be scored: their places in the batch, contents and numbers (n, 13)."""

    places: list[int]
    records: list[PatientRecord]
    matrix: Matrix

    def where(self, mask: Mask) -> _Rows:
        """Keep the rows that `mask` selects."""
        rows = np.flatnonzero(mask).tolist()
        return _Rows([self.places[row] for row in rows], [self.records[row] for row in rows], self.matrix[mask])


def process(values: Sequence[bytes | None], sources: Sequence[Source | None], scorer: Scorer) -> list[Outcome]:
    """Decode, validate, score and encode a batch; returns one outcome a record, in order.

    `sources` has one entry a value (None where the record came from no topic). The same value and source give the same
    bytes in any batch. Raises ArtifactError when it is the model that is broken, not a record.
    """
    outcomes: dict[int, Outcome] = {}
    rows = _readable(values, outcomes)
    rows = _legal(rows, values, outcomes)
    rows, found = _scorable(rows, scorer, outcomes)
    if scorer.window is not None:
        scorer.window.note(rows.matrix, found.risks)
    encoded = scorer.encode(rows.records, rows.matrix, found, [sources[place] for place in rows.places])
    if not outcomes:
        return [Scored(value) for value in encoded]
    outcomes.update((place, Scored(value)) for place, value in zip(rows.places, encoded, strict=True))
    return [outcomes[place] for place in range(len(values))]


def _readable(values: Sequence[bytes | None], outcomes: dict[int, Outcome]) -> _Rows:
    """Decode each value; reject those that are no record."""
    places: list[int] = []
    records: list[PatientRecord] = []
    for place, value in enumerate(values):
        record = decode(value) or examine(value)
        if isinstance(record, PatientRecord):
            places.append(place)
            records.append(record)
        else:
            outcomes[place] = Rejected(record)
    matrix = as_matrix(records)
    blank_missing(matrix)
    return _Rows(places, records, matrix)


def _legal(rows: _Rows, values: Sequence[bytes | None], outcomes: dict[int, Outcome]) -> _Rows:
    """Reject records with illegal numbers; the slow path finds out what is wrong with each."""
    legal = legal_rows(rows.matrix)
    if legal.all():
        return rows
    for place in rows.where(~legal).places:
        faults = examine(values[place])
        if isinstance(faults, PatientRecord):
            raise AssertionError("the vectorised check refused a record that the slow path accepts")  # noqa: TRY004  # a bug here, not a type
        outcomes[place] = Rejected(faults)
    return rows.where(legal)


def _scorable(rows: _Rows, scorer: Scorer, outcomes: dict[int, Outcome]) -> tuple[_Rows, Explanation]:
    """Score the records; reject those on which the model fails, unless it is the model that is broken."""
    found = _attempt(rows.matrix, scorer)
    if found is not None and are_probabilities(found.risks):
        return rows, found
    if not scorer.is_sound():
        raise ArtifactError("the model no longer reproduces its own results on golden records")
    scored = _isolated(rows.matrix, scorer)
    outcomes.update(dict.fromkeys(rows.where(~scored).places, _MODEL_FAILURE))
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
