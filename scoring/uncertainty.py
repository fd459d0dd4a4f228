"""Uncertainty of risks, as tables that training computes and scoring looks up.

Each table has a row for each listed missing pattern (`scoring.missingness`) and patient group. The 90% interval answers
one question: if every field were measured, and the model were trained on other patients of the same population, what
would the risk be? So it includes both the sampling of training patients and the missing measurements.
"""

from __future__ import annotations

from math import isnan
from typing import Final, NamedTuple

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.features import Matrix
from scoring.logistic import logistic
from scoring.missingness import Patterns

COVERAGE: Final = 0.9
"""The target coverage of intervals and label sets."""
MOST_NEXT: Final = 3
"""The most missing fields that a score lists in `measure_next`."""
Vector = Matrix


class Uncertainty(msgspec.Struct, frozen=True):
    """The tables, by missing pattern and patient group. Those that a model does not have are None, or NaN in places.

    `reach` (patterns, groups, 2): how far the 90% interval reaches below and above the risk's log-odds.
    `sampling_reach` (patterns, groups, 2) is the part of it that other training patients account for, the fields being
    as they are. `distance` (patterns,) is the mean absolute difference between the risk and the one with every field
    measured. `label_limits` (patterns, groups, 2): the highest risk at which label 0 is plausible, and the lowest at
    which label 1 is. `label_coverage` (groups, 2, 2): of each group and outcome, how many training patients there are,
    and how many of them have the true label in their set, out of fold, whatever is missing: under the pattern with the
    fewest.
    """

    reach: Matrix | None
    sampling_reach: Matrix | None
    distance: Matrix | None
    label_limits: Matrix
    label_coverage: Matrix

    def check(self, compiled: CompiledTable) -> None:
        """Raise ArtifactError unless all tables have valid shapes and values."""
        groups = len(compiled.groups)
        cells = (compiled.patterns.count, groups)
        tables = {
            "reach": (self.reach, (*cells, 2)),
            "sampling_reach": (self.sampling_reach, (*cells, 2)),
            "distance": (self.distance, (compiled.patterns.count,)),
            "label_limits": (self.label_limits, (*cells, 2)),
            "label_coverage": (self.label_coverage, (groups, 2, 2)),
        }
        wrong = [name for name, (table, shape) in tables.items() if table is not None and table.shape != shape]
        if wrong:
            raise ArtifactError(f"the uncertainty tables {', '.join(wrong)} have the wrong shape")
        valid = {
            "reach": _are_distances(self.reach),
            "sampling_reach": _are_distances(self.sampling_reach),
            "distance": _are_distances(self.distance),
            "label_limits": _are_limits(self.label_limits),
            "label_coverage": _are_distances(self.label_coverage),
        }
        if wrong := [name for name, is_valid in valid.items() if not is_valid]:
            raise ArtifactError(f"the uncertainty tables {', '.join(wrong)} have invalid values")


def _are_distances(table: Matrix | None) -> bool:
    """Return whether a table is absent, or has only finite values of at least 0."""
    return table is None or bool((np.isfinite(table) & (table >= 0)).all())


def _are_limits(table: Matrix) -> bool:
    """Return whether limits are risks, pairs are complete or absent, and not all are absent."""
    absent = np.isnan(table)
    whole: Matrix = absent[..., 0] == absent[..., 1]
    return bool(whole.all() and not absent.all() and (absent | ((table >= 0) & (table <= 1))).all())


def unknown(compiled: CompiledTable) -> Uncertainty:
    """Return the tables of a model without a fast engine."""
    groups = len(compiled.groups)
    limits = np.full((compiled.patterns.count, groups, 2), np.nan)
    return Uncertainty(None, None, None, limits, np.zeros((groups, 2, 2)))


class Intervals(NamedTuple):
    """Lower and upper limits (n,) of intervals, 0 to 1."""

    low: Vector
    high: Vector


class Lookup:
    """The tables, flattened for lookups by batch. All limits are NaN for a missing pattern that is not listed."""

    def __init__(self, tables: Uncertainty, compiled: CompiledTable) -> None:
        self._patterns = compiled.patterns
        groups = 0 if self._patterns.are_all else len(compiled.groups)
        self._limits = _flat(tables.label_limits, groups)
        self._reach = None if tables.reach is None else _flat(tables.reach, groups)
        self._sampling = None if tables.sampling_reach is None else _flat(tables.sampling_reach, groups)
        self._distance = None if tables.distance is None else np.append(tables.distance, np.nan)

    def intervals(self, log_odds: Vector, cells: Patterns) -> Intervals | None:
        """Return the 90% intervals of risks; None if this model has none."""
        return None if self._reach is None else _around(log_odds, self._reach.take(cells, axis=0))

    def sampling_intervals(self, log_odds: Vector, cells: Patterns) -> Intervals | None:
        """Return the part of the intervals that is due to the choice of training patients."""
        return None if self._sampling is None else _around(log_odds, self._sampling.take(cells, axis=0))

    def label_limits(self, cells: Patterns) -> Matrix:
        """Return the limits (n, 2) of label sets."""
        limits: Matrix = self._limits.take(cells, axis=0)
        return limits

    def measure_next(self, pattern: int) -> tuple[str, ...] | None:
        """Return the missing fields whose measurement should bring the risk closest to that of a complete record.

        The best is first; None if this model does not provide them for the pattern.
        """
        if self._distance is None:
            return None
        missing = [1 << bit for bit in range(len(self._patterns.optional)) if pattern >> bit & 1]
        distances = {bit: float(self._distance[self._patterns.row(pattern & ~bit)]) for bit in missing}
        if any(map(isnan, distances.values())):
            return None
        missing.sort(key=distances.__getitem__)
        return tuple(name for bit in missing for name in self._patterns.fields(bit))[:MOST_NEXT]


def _flat(table: Matrix, unknown: int) -> Matrix:
    """Return a table (patterns, groups, 2) as (cells, 2), with NaN in `unknown` cells for a pattern not listed."""
    return np.concatenate([table.reshape(-1, 2), np.full((unknown, 2), np.nan)])


def _around(log_odds: Vector, reach: Matrix) -> Intervals:
    return Intervals(logistic(log_odds - reach[:, 0]), logistic(log_odds + reach[:, 1]))
