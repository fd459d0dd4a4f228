"""Estimates with their 95% confidence intervals: by the bootstrap, and Wilson's for a proportion.

A bootstrap sample is a row of weights, so that a figure is computed for all samples at once.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from training.arrays import Labels, Matrix

CONFIDENCE: Final = 0.95
FEWEST: Final = 20
"""With fewer patients of either outcome, a figure says more about chance than about the model."""
NORMAL: Final = 1.959963984540054
"""So many standard errors either way hold 95% of a normal distribution."""


class Estimate(msgspec.Struct, frozen=True):
    """A figure, and the limits of its 95% interval."""

    value: float
    low: float
    high: float


def samples(patients: int, seed: int, bootstraps: int) -> Matrix:
    """Return weights (1 + bootstraps, patients): everybody once, then how often each sample drew each patient."""
    chance = np.random.default_rng(seed)
    drawn = chance.integers(0, patients, (bootstraps, patients))
    counts = np.array([np.bincount(row, minlength=patients) for row in drawn]).reshape(bootstraps, patients)
    return np.vstack([np.ones(patients), counts])


def with_both(weights: Matrix, labels: Labels) -> Matrix:
    """Keep the samples (rows) that drew patients of either outcome: without them a figure may not be defined."""
    ill = weights @ labels
    kept: Matrix = weights[(ill > 0) & (ill < weights.sum(axis=1))]
    return kept


def estimate(values: Matrix) -> Estimate:
    """Take the first value as the figure, the others as its bootstrap samples."""
    tail = (1 - CONFIDENCE) / 2
    sampled = values[1:] if len(values) > 1 else values
    low, high = np.nanquantile(sampled, [tail, 1 - tail])
    return Estimate(float(values[0]), float(low), float(high))


def wilson(events: int, patients: int) -> Estimate:
    """Return a share with its 95% interval (Wilson, 1927)."""
    z, share = NORMAL, events / patients
    middle = (share + z * z / (2 * patients)) / (1 + z * z / patients)
    reach = z / (1 + z * z / patients) * np.sqrt(share * (1 - share) / patients + z * z / (4 * patients**2))
    return Estimate(share, float(middle - reach), float(middle + reach))
