"""Two models at one specificity: what is left of a difference in sensitivity when false alarms are as many.

Sensitivities at a fixed threshold compare thresholds as much as models: risks that are too low find fewer of the ill
and raise fewer false alarms.
"""

from __future__ import annotations

from math import ceil

import msgspec
import numpy as np

from training.arrays import Labels, Matrix
from training.evaluation.metrics import Performance, performance

_ROUNDING = 1e-9


class OperatingPoint(msgspec.Struct, frozen=True):
    """A threshold, and how a model does there."""

    threshold: float
    performance: Performance


def at_specificity(labels: Labels, risks: Matrix, specificity: float, weights: Matrix) -> OperatingPoint:
    """Measure risks (runs, patients) at the lowest threshold with at least that specificity, over all runs pooled.

    The threshold is chosen on the patients that it is measured on, which flatters the model a little.
    """
    healthy = np.sort(risks[:, labels == 0], axis=None)
    below = ceil(specificity * len(healthy) - _ROUNDING)
    threshold = float(np.nextafter(healthy[below - 1], 2)) if below else 0.0
    return OperatingPoint(threshold, performance(labels, risks, threshold, weights))
