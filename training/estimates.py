"""Estimates with their 95% confidence intervals: by the bootstrap, and Wilson's for a proportion.

A bootstrap sample is a row of weights, so that a figure is computed for all samples at once.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from training.arrays import Labels, Matrix

CONFIDENCE: Final = 0.95
MIN_PATIENTS: Final = 20
"""With fewer patients of either outcome, a metric says more about chance than about the model."""
Z_95: Final = 1.959963984540054
"""Standard errors to either side that cover 95% of a normal distribution."""


class Estimate(msgspec.Struct, frozen=True):
    """A value with the limits of its 95% interval."""

    value: float
    low: float
    high: float


def bootstrap_weights(patients: int, seed: int, bootstraps: int) -> Matrix:
    """Return weights (1 + bootstraps, patients): first all ones, then each sample's count of each patient."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, patients, (bootstraps, patients))
    counts = np.array([np.bincount(row, minlength=patients) for row in drawn]).reshape(bootstraps, patients)
    return np.vstack([np.ones(patients), counts])


def with_both_outcomes(weights: Matrix, labels: Labels) -> Matrix:
    """Keep the samples (rows) with patients of both outcomes: otherwise a metric may be undefined."""
    diseased = weights @ labels
    kept: Matrix = weights[(diseased > 0) & (diseased < weights.sum(axis=1))]
    return kept


def bootstrap_estimate(values: Matrix) -> Estimate:
    """Return the first value with the interval of the others, its bootstrap samples."""
    tail = (1 - CONFIDENCE) / 2
    sampled = values[1:] if len(values) > 1 else values
    low, high = np.nanquantile(sampled, [tail, 1 - tail])
    return Estimate(float(values[0]), float(low), float(high))


def wilson_interval(events: int, patients: int) -> Estimate:
    """Return a proportion with its 95% interval (Wilson, 1927)."""
    z, share = Z_95, events / patients
    middle = (share + z * z / (2 * patients)) / (1 + z * z / patients)
    reach = z / (1 + z * z / patients) * np.sqrt(share * (1 - share) / patients + z * z / (4 * patients**2))
    return Estimate(share, float(middle - reach), float(middle + reach))
