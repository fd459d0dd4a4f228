"""The pattern sub-model of each record: fitted by training for a listed pattern, derived for any other.

A derived sub-model replaces the missing columns of the complete model by their expectation given the measured ones,
with means and covariance of the training rows, and shrinks the log-odds by what remains unknown: the mean of a logistic
function over a normal distribution (MacKay, Neural Computation 1992). Decision 59 compares it with fitted sub-models.
"""

from __future__ import annotations

from math import pi, sqrt
from typing import Final

import numpy as np

from scoring.features import Mask, Matrix
from scoring.missingness import PatternColumns, Patterns

Vector = Matrix

RIDGE: Final = 0.01
"""Added to the variances of measured columns: the columns of a one-hot encoding add up to 1."""
_REMEMBERED: Final = 4096


class SubmodelLookup:
    """Intercepts and coefficients by missing pattern. Not thread-safe."""

    def __init__(
        self,
        intercepts: Vector,
        coefficients: Matrix,
        covariance: Matrix | None,
        columns: PatternColumns,
        line: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Take `intercepts` (count,) and `coefficients` (count, columns) of the listed patterns.

        `covariance` (columns, columns) is None if every pattern is listed. `line` is the intercept and slope that a
        recalibration applied to the log-odds: sub-models are derived from the model before, and the line then applied.
        """
        self._line = line
        self._intercepts, self._coefficients, self._covariance = intercepts, coefficients, covariance
        self._columns = columns
        self._derived: dict[int, tuple[float, Vector]] = {}

    def of(self, patterns: Patterns) -> tuple[Vector, Matrix]:
        """Return intercepts (n,) and coefficients (n, columns) for the records' patterns (n,)."""
        rows = self._columns.patterns.rows(patterns)
        intercepts = self._intercepts.take(rows, mode="clip")
        coefficients = self._coefficients.take(rows, axis=0, mode="clip")
        if self._covariance is not None:
            for record in np.flatnonzero(rows == self._columns.patterns.count).tolist():
                intercepts[record], coefficients[record] = self._submodel(int(patterns[record]), self._covariance)
        return intercepts, coefficients

    def _submodel(self, pattern: int, covariance: Matrix) -> tuple[float, Vector]:
        found = self._derived.get(pattern)
        if found is None:
            if len(self._derived) >= _REMEMBERED:
                self._derived.clear()
            measured = self._columns.used_in(np.array([pattern]))[0]
            shift, slope = self._line
            before = (float(self._intercepts[0]) - shift) / slope, self._coefficients[0] / slope
            intercept, coefficients = derived(*before, covariance, measured)
            self._derived[pattern] = found = shift + slope * intercept, slope * coefficients
        return found


def derived(intercept: float, coefficients: Vector, covariance: Matrix, measured: Mask) -> tuple[float, Vector]:
    """Return intercept and coefficients (columns,) for records with the `measured` columns of the complete model.

    `coefficients` (columns,) are the complete model's, `covariance` (columns, columns) is that of the centred columns.
    """
    known, missing = np.flatnonzero(measured), np.flatnonzero(~measured)
    expected, beyond = _slopes(covariance, known, missing), coefficients[missing]
    explained = covariance[np.ix_(missing, known)] @ expected
    unknown = beyond @ (covariance[np.ix_(missing, missing)] - explained) @ beyond
    shrink = 1 / sqrt(1 + pi / 8 * max(float(unknown), 0.0))
    found = np.zeros_like(coefficients)
    found[known] = (coefficients[known] + expected @ beyond) * shrink
    return intercept * shrink, found


def filled(centered: Matrix, covariance: Matrix) -> Matrix:
    """Return centred rows (n, columns) with each missing value replaced by its expectation given the measured ones."""
    rows = np.nan_to_num(centered)
    kinds, kind_of = np.unique(np.isnan(centered), axis=0, return_inverse=True)
    for place, gone in enumerate(kinds):
        known, missing, own = np.flatnonzero(~gone), np.flatnonzero(gone), np.flatnonzero(kind_of == place)
        rows[np.ix_(own, missing)] = rows[np.ix_(own, known)] @ _slopes(covariance, known, missing)
    return rows


def _slopes(covariance: Matrix, known: Patterns, missing: Patterns) -> Matrix:
    """Return the regression (known, missing) of missing columns on measured ones."""
    among = covariance[np.ix_(known, known)] + RIDGE * np.eye(len(known))
    slopes: Matrix = np.asarray(np.linalg.solve(among, covariance[np.ix_(known, missing)]), dtype=np.float64)
    return slopes


def covariance_of(centered: Matrix) -> Matrix:
    """Return the covariance (columns, columns) of centred rows (n, columns), NaN where missing.

    Each element is estimated from the rows that have both columns; negative eigenvalues become 0.
    """
    measured = (~np.isnan(centered)).astype(np.float64)
    values = np.nan_to_num(centered)
    pairwise = (values.T @ values) / np.maximum(measured.T @ measured, 1)
    sizes, directions = np.linalg.eigh(pairwise)
    covariance: Matrix = (directions * np.maximum(sizes, 0.0)) @ directions.T
    return covariance
