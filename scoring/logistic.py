"""From log-odds to risk."""

from __future__ import annotations

import numpy as np

from scoring.features import Matrix


def logistic(log_odds: Matrix) -> Matrix:
    """Return 1 / (1 + exp(-x)) without overflow: the exponential is only ever taken of what is not above zero."""
    small = np.exp(-np.abs(log_odds))
    risks: Matrix = np.where(log_odds >= 0, 1.0, small) / (1.0 + small)
    return risks
