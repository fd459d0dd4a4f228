"""The path of a record, the same for every interface: a `Batch` is decoded, a `Model` scores it into `Results`.

Observers (drift window, census, metrics, audit trail, shadow) use these results; no score made here is decoded again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate, chain
from typing import Final, Protocol

import msgspec
import numpy as np

from schemas.codec import EncodableScore
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import ModelRef, Source
from scoring.compiled_table import CompiledTable
from scoring.engines import Vector
from scoring.evidence import Evidence, evidence_of
from scoring.features import Mask, Matrix
from scoring.text_column import TextColumn

Issues = tuple[ValidationIssue, ...]
Outcome = EncodableScore | Issues
"""What becomes of one record: its score, or all that is wrong with it."""

MODEL_FAILURE: Final = (ValidationIssue(RejectionCode.MODEL_FAILURE, "", "the model could not score this record"),)


class DecodedBatch(msgspec.Struct, frozen=True):
    """The valid records of a batch as rows, and the issues of the others, by their positions in the batch.

    `matrix` (n, fields) is in the table's coding, NaN where not measured. `declared` has the positions of records with
    a declared coding, their own or that of their source. `values` is the original batch, None if it consists of
    columns; `sources` and `keys` are set for a batch from a topic.
    """

    positions: Sequence[int]
    patient_ids: Sequence[str]
    matrix: Matrix
    rejected: Mapping[int, Issues]
    declared: AbstractSet[int] = frozenset()
    values: Sequence[bytes | None] | None = None
    sources: Sequence[Source | None] | None = None
    keys: Sequence[bytes | None] = ()

    def where(self, mask: Mask, rejected: Mapping[int, Issues]) -> DecodedBatch:
        """Return the rows that `mask` (n,) selects, together with these rejected records."""
        rows, ids = np.flatnonzero(mask).tolist(), self.patient_ids
        return msgspec.structs.replace(
            self,
            positions=[self.positions[row] for row in rows],
            patient_ids=ids.where(mask) if isinstance(ids, TextColumn) else [ids[row] for row in rows],
            matrix=self.matrix[mask],
            rejected=rejected,
        )

    def split(self, taken: Sequence[bool]) -> tuple[DecodedBatch, DecodedBatch]:
        """Return the records that are `taken`, by position, and the others; all keep their positions."""
        mask = np.array([taken[position] for position in self.positions], dtype=np.bool_)
        ours = {position: issues for position, issues in self.rejected.items() if taken[position]}
        theirs = {position: issues for position, issues in self.rejected.items() if not taken[position]}
        return self.where(mask, ours), self.where(~mask, theirs)


class Batch(Protocol):
    """Records as an interface brings them."""

    def decode(self, compiled: CompiledTable) -> DecodedBatch:
        """Decode and validate each record. An envelope around a record is opened here, once."""
        ...


class Model(Protocol):
    """What scores batches: a scorer, the model manager around it, the canary around that."""

    @property
    def compiled(self) -> CompiledTable:
        """The feature table of the records that it scores."""
        ...

    def score(self, batch: DecodedBatch) -> Results:
        """Score a batch; raises ArtifactError if the model itself is broken."""
        ...


class Results(msgspec.Struct, frozen=True):
    """The results of a batch: columns of the scored records, in order, and the issues of the others.

    `positions` (n,) rise; `matrix` (n, fields), `risks` (n,) and `labels` (n,), true for label 1, are what `scores`
    were made of, and `models` made them. `rejected` is by position, in order; for `declared` see `DecodedBatch`.
    """

    positions: Sequence[int]
    matrix: Matrix
    risks: Vector
    labels: Mask
    scores: Sequence[EncodableScore]
    models: Sequence[ModelRef]
    rejected: Mapping[int, Issues]
    declared: AbstractSet[int] = frozenset()

    def __len__(self) -> int:
        """Count the records."""
        return len(self.positions) + len(self.rejected)

    @property
    def scored(self) -> int:
        """How many records have a score."""
        return len(self.positions)

    def row(self, position: int) -> int:
        """Return the index of a scored record in the columns."""
        return bisect_left(self.positions, position)

    def outcome(self, position: int) -> Outcome:
        """Return the outcome of one record."""
        return self.rejected.get(position) or self.scores[self.row(position)]

    def outcomes(self) -> list[Outcome]:
        """Return one outcome per record, in the order of the batch."""
        if not self.rejected:
            return list(self.scores)
        found: dict[int, Outcome] = {**dict(zip(self.positions, self.scores, strict=True)), **self.rejected}
        return [found[position] for position in range(len(self))]

    def codes(self) -> tuple[str, ...]:
        """Return the code of each issue."""
        return tuple(str(issue.code) for issues in self.rejected.values() for issue in issues)

    def evidence(self) -> Evidence:
        """Return the evidence about the coding of the records' source."""
        if not (self.rejected or self.declared):
            return [(len(self.positions), 0)]
        foreign = [position for position, issues in self.rejected.items() if _is_foreign(issues)]
        return evidence_of([position for position in self.positions if position not in self.declared], foreign)

    def without_undeclared(self, issues: Issues) -> Results:
        """Reject, for these issues, all scored records that name no coding."""
        kept = [row for row, position in enumerate(self.positions) if position in self.declared]
        refused = dict.fromkeys((position for position in self.positions if position not in self.declared), issues)
        return msgspec.structs.replace(self.rows(kept), rejected=dict(sorted({**self.rejected, **refused}.items())))

    def split(self, sizes: Iterable[int]) -> Iterator[Results]:
        """Yield the results of consecutive parts of the batch, each with positions from 0 on."""
        bad = list(self.rejected)
        start = row = issue = 0
        for size in sizes:
            stop = start + size
            after, end = bisect_left(self.positions, stop, row), bisect_left(bad, stop, issue)
            yield self if size == len(self) else self._part(range(start, stop), slice(row, after), bad[issue:end])
            start, row, issue = stop, after, end

    def _part(self, span: range, rows: slice, bad: Sequence[int]) -> Results:
        start = span.start
        return Results(
            [position - start for position in self.positions[rows]] if bad else range(len(span)),
            self.matrix[rows],
            self.risks[rows],
            self.labels[rows],
            self.scores[rows],
            self.models[rows],
            {position - start: self.rejected[position] for position in bad},
            frozenset(position - start for position in span if position in self.declared)
            if self.declared
            else self.declared,
        )

    def rows(self, rows: Sequence[int]) -> Results:
        """Return a selection of the scored records, in this order, and all rejected ones."""
        return Results(
            [self.positions[row] for row in rows],
            self.matrix[rows],
            self.risks[rows],
            self.labels[rows],
            [self.scores[row] for row in rows],
            [self.models[row] for row in rows],
            self.rejected,
            self.declared,
        )


_NO_RESULTS: Final = Results([], np.empty((0, 0)), np.empty(0), np.empty(0, dtype=np.bool_), [], [], {})


def rejection(issues: Issues) -> Results:
    """Return the results of a batch of one record that is rejected."""
    return msgspec.structs.replace(_NO_RESULTS, rejected={0: issues})


def joined(parts: Sequence[Results]) -> Results:
    """Concatenate the results of consecutive batches."""
    if len(parts) == 1:
        return parts[0]
    starts = accumulate(map(len, parts), initial=0)
    return _concatenated(
        [
            msgspec.structs.replace(
                part,
                positions=[position + start for position in part.positions],
                rejected={position + start: issues for position, issues in part.rejected.items()},
                declared=frozenset(position + start for position in part.declared),
            )
            for part, start in zip(parts, starts, strict=False)
        ]
    )


def merged(first: Results, second: Results) -> Results:
    """Return the results of the two parts of a batch that `DecodedBatch.split` gives."""
    both = _concatenated([first, second])
    return both.rows(sorted(range(both.scored), key=both.positions.__getitem__))


def _concatenated(parts: Sequence[Results]) -> Results:
    matrices = [part.matrix for part in parts if part.matrix.shape[1]]
    parts = [_NO_RESULTS, *parts]
    return Results(
        [position for part in parts for position in part.positions],
        np.concatenate(matrices) if matrices else _NO_RESULTS.matrix,
        np.concatenate([part.risks for part in parts]),
        np.concatenate([part.labels for part in parts]),
        list(chain.from_iterable(part.scores for part in parts)),
        list(chain.from_iterable(part.models for part in parts)),
        dict(sorted(chain.from_iterable(part.rejected.items() for part in parts))),
        frozenset().union(*(part.declared for part in parts)),
    )


def _is_foreign(issues: Issues) -> bool:
    """Return whether a record indicates that its source is in another coding."""
    return any(issue.code is RejectionCode.FOREIGN_CODE for issue in issues)
