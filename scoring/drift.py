"""Drift detection: whether scored records still resemble the training patients.

A `Window` keeps the most recent records and counts them in the same bins as the `Reference` in the model directory
counts the training patients; a `Census` counts all records. Both cover inputs and risks. Only outcomes show whether the
risks are correct.

The measure is the population stability index (PSI), the sum of (p - q) ln(p / q) over the bins of a histogram: by the
usual rule of thumb, the change is small below 0.1 and large above 0.25 (N. Siddiqi, Credit Risk
Scorecards, 2006). The rule ignores the number of records. Without any drift, PSI is about (bins - 1)(1/n + 1/m)
for n records and m patients (B. Yurdakul, Statistical Properties of Population Stability Index, 2018), 0.07 for 200 and
303 in ten bins. That much is subtracted here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.compiled_table import CompiledTable
from scoring.drift_reference import RISK_EDGES, FieldReference, Histogram, Reference
from scoring.features import Matrix

ENOUGH_RECORDS: Final = 200
"""Fewer are not compared: at 200, chance alone changes a PSI of ten bins by 0.04, far less than 0.25."""
_LOOKED_AT: Final = 64
"""The number of records sampled from a batch, so that a window never consists of a single large batch."""
_HALF_A_RECORD: Final = 0.5
_MOST_PATTERNS: Final = 65_536
"""Added to the count of each bin: an empty one would make PSI infinite."""

Counts = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]


class Drift(msgspec.Struct, frozen=True):
    """How the records differ from the reference; a value with too few records is None.

    By field: `psi` is that of measured values, `missing` the share of records without the field minus that of the
    training rows, `out_of_range` the share of measured values outside the training range. `score_psi` is the PSI of the
    risks of `model`.
    """

    model: str
    records: int
    psi: dict[str, float | None]
    missing: dict[str, float | None]
    out_of_range: dict[str, float | None]
    score_psi: float | None


class Window:
    """The most recent scored records, or a sample of them under load. Not thread-safe.

    It keeps values of patients in memory, without ids.
    """

    def __init__(
        self,
        reference: Reference,
        model: str,
        training_range: Mapping[str, tuple[float, float]],
        records: int,
        compiled: CompiledTable,
    ) -> None:
        """`records` is its size, at least `ENOUGH_RECORDS`; `model` is the one that is observed."""
        self.model = model
        self._records = max(records, ENOUGH_RECORDS)
        self._batches: deque[tuple[Matrix, Vector]] = deque()
        self._held = self._turn = 0
        self._expected = _Expected.of(reference, model, training_range, compiled.table.names)

    def add(self, matrix: Matrix, risks: Vector) -> None:
        """Add a batch: records (n, fields) and their risks (n,), which must not be modified later.

        Takes one or two microseconds for any size of batch.
        """
        count = len(risks)
        if count > _LOOKED_AT:
            step = -(-count // _LOOKED_AT)
            # Not always the first ones: alternating producers would be sampled unevenly.
            self._turn = (self._turn + 1) % step
            matrix, risks = matrix[self._turn :: step].copy(), risks[self._turn :: step].copy()
            count = len(risks)
        elif not count:
            return
        self._batches.append((matrix, risks))
        self._held += count
        while self._held - (oldest := len(self._batches[0][1])) >= self._records:
            self._batches.popleft()
            self._held -= oldest

    def recent(self) -> tuple[Matrix, Vector]:
        """Return copies of the records (n, fields) and their risks (n,)."""
        rows = np.concatenate([self._expected.no_rows(), *(matrix for matrix, _ in self._batches)])
        return rows, np.concatenate([np.empty(0), *(risks for _, risks in self._batches)])

    def measure(self) -> Drift:
        """Compare the window with the reference. Takes about a millisecond for 2,000 records."""
        return self._expected.compare(self.model, self._expected.found(*self.recent()))


class Census:
    """Counts of all scored records, in constant memory. Not thread-safe.

    It keeps no records and no ids.
    """

    def __init__(
        self,
        reference: Reference,
        model: str,
        training_range: Mapping[str, tuple[float, float]],
        compiled: CompiledTable,
    ) -> None:
        """`model` is the one that is observed."""
        self.model = model
        self._reference = reference
        self._expected = _Expected.of(reference, model, training_range, compiled.table.names)
        self._found = self._expected.found(self._expected.no_rows(), np.empty(0))
        self._patterns = compiled.patterns
        self.patterns: dict[int, int] = {}
        """Records of each missing pattern, of the first 65,536 different ones."""

    def add(self, matrix: Matrix, risks: Vector) -> None:
        """Count a batch: records (n, fields) and their risks (n,)."""
        self._found = self._found.plus(self._expected.found(matrix, risks))
        found, counts = np.unique(self._patterns.of(matrix), return_counts=True)
        for pattern, count in zip(found.tolist(), counts.tolist(), strict=True):
            if pattern in self.patterns or len(self.patterns) < _MOST_PATTERNS:
                self.patterns[pattern] = self.patterns.get(pattern, 0) + count

    def measure(self) -> Drift:
        """Compare the counts with the reference."""
        return self._expected.compare(self.model, self._found)

    def fields(self) -> dict[str, FieldReference]:
        """Return the counts of each field, in the bins of the reference."""
        measured = self._found.fields.sum(axis=1).astype(int).tolist()
        found = zip(self._expected.names, self._found.fields.astype(int).tolist(), measured, strict=True)
        return {
            name: FieldReference(_in_bins(self._reference.fields[name].measured, counts), self._found.records - here)
            for name, counts, here in found
        }

    def risks(self) -> Histogram:
        """Return the counts of risks, in ten bins."""
        return Histogram(RISK_EDGES, tuple(self._found.risks[0].astype(int).tolist()))


def _in_bins(like: Histogram, counts: list[int]) -> Histogram:
    return Histogram(like.edges, tuple(counts[: len(like.counts)]))


class _Found(NamedTuple):
    """Counts of records, which can be summed: values by bin, a row per field; values out of range, by field; risks."""

    records: int
    fields: Counts
    outside: Counts
    risks: Counts

    def plus(self, other: _Found) -> _Found:
        return _Found(
            self.records + other.records,
            self.fields + other.fields,
            self.outside + other.outside,
            self.risks + other.risks,
        )


class _Expected(NamedTuple):
    """A reference as arrays: a row per field, a column per bin of the longest histogram; `bins` are each field's."""

    names: Sequence[str]
    edges: Matrix
    fields: Counts
    bins: npt.NDArray[np.int64]
    missing: Vector
    risks: Counts | None
    lowest: Vector
    highest: Vector

    @classmethod
    def of(
        cls,
        reference: Reference,
        model: str,
        training_range: Mapping[str, tuple[float, float]],
        names: Sequence[str],
    ) -> _Expected:
        histograms = [reference.fields[name].measured for name in names]
        bins = np.array([len(histogram.counts) for histogram in histograms])
        edges, counts = np.full((len(bins), bins.max() - 1), np.inf), np.zeros((len(bins), bins.max()))
        for row, histogram in enumerate(histograms):
            edges[row, : len(histogram.edges)] = histogram.edges
            counts[row, : len(histogram.counts)] = histogram.counts
        missing = np.array([reference.fields[name].missing for name in names]) / reference.rows
        risks = reference.risks.get(model)
        of_risks = None if risks is None else np.array([risks.counts], dtype=np.float64)
        lowest, highest = np.array([training_range[name] for name in names]).T
        return cls(names, edges, counts, bins, missing, of_risks, lowest, highest)

    def no_rows(self) -> Matrix:
        """Return no records, (0, fields)."""
        return np.empty((0, len(self.names)))

    def found(self, rows: Matrix, risks: Vector) -> _Found:
        """Count records (n, fields) and their risks (n,)."""
        outside = ((rows < self.lowest) | (rows > self.highest)).sum(axis=0).astype(np.float64)
        return _Found(len(rows), _counted(rows, self.edges), outside, _counted(risks[:, None], np.array([RISK_EDGES])))

    def compare(self, model: str, found: _Found) -> Drift:
        """Return how the counts differ; a value with too few records is None."""
        enough_records = found.records >= ENOUGH_RECORDS
        measured = found.fields.sum(axis=1)
        enough = measured >= ENOUGH_RECORDS
        missing = 1 - measured / max(found.records, 1) - self.missing
        score_psi = None
        if enough_records and self.risks is not None:
            score_psi = float(_psi(self.risks, found.risks, np.array([len(RISK_EDGES) + 1]))[0])
        return Drift(
            model=model,
            records=found.records,
            psi=self._by_field(_psi(self.fields, found.fields, self.bins), enough & (self.fields.sum(axis=1) > 0)),
            missing=self._by_field(missing, np.full(len(enough), enough_records)),
            out_of_range=self._by_field(found.outside / np.maximum(measured, 1), enough),
            score_psi=score_psi,
        )

    def _by_field(self, values: Vector, known: npt.NDArray[np.bool_]) -> dict[str, float | None]:
        pairs = zip(values.tolist(), known.tolist(), strict=True)
        return {name: value if is_known else None for name, (value, is_known) in zip(self.names, pairs, strict=True)}


def _counted(values: Matrix, edges: Matrix) -> Counts:
    """Count each column's values (n, columns) into the bins of its edges (columns, k); NaN is in none."""
    above = (values[:, :, None] > edges).sum(axis=0)
    everything = (~np.isnan(values)).sum(axis=0)[:, None]
    nothing = np.zeros((len(edges), 1))
    return -np.diff(np.hstack([everything, above, nothing]), axis=1)


def _psi(expected: Counts, found: Counts, bins: npt.NDArray[np.int64]) -> Vector:
    """Return the PSI of each row of counts, corrected for chance, at least 0. Bins beyond `bins` are ignored."""
    used = np.arange(expected.shape[1]) < bins[:, None]
    p, q = (
        (counts + _HALF_A_RECORD) / (counts.sum(axis=1) + _HALF_A_RECORD * bins)[:, None]
        for counts in (expected, found)
    )
    index = np.where(used, (q - p) * np.log(q / p), 0.0).sum(axis=1)
    chance = (bins - 1) * (1 / np.maximum(expected.sum(axis=1), 1) + 1 / np.maximum(found.sum(axis=1), 1))
    excess: Vector = np.maximum(index - chance, 0.0)
    return excess
