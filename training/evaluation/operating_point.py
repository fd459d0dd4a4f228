"""Compares the sensitivity of two models at equal specificity.

At a fixed threshold, sensitivities compare calibration as much as discrimination: risks that are too low have both
fewer true positives and fewer false positives.
"""

from __future__ import annotations

from math import ceil

import msgspec
import numpy as np

from training.arrays import Labels, Matrix
from training.evaluation.metrics import Performance, performance

_ROUNDING = 1e-9


class OperatingPoint(msgspec.Struct, frozen=True):
    """A decision threshold, and the performance there."""

    threshold: float
    performance: Performance


def at_specificity(labels: Labels, risks: Matrix, specificity: float, weights: Matrix) -> OperatingPoint:
    """Measure risks (runs, patients) at the lowest threshold that reaches the specificity over all runs pooled.

    Threshold and performance use the same patients, which is slightly optimistic.
    """
    negatives = np.sort(risks[:, labels == 0], axis=None)
    below = ceil(specificity * len(negatives) - _ROUNDING)
    threshold = float(np.nextafter(negatives[below - 1], 2)) if below else 0.0
    return OperatingPoint(threshold, performance(labels, risks, threshold, weights))
