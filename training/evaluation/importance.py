"""Permutation importance of the fields, out of fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from schemas.features import FEATURE_NAMES
from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import split
from training.evaluation.metrics import losses


def permutation_importance(
    pipeline: Any, matrix: Matrix, labels: Labels, seed: int, repeats: int = 5
) -> dict[str, float]:
    """Return by how much each field's shuffling raises the log loss of patients out of fold."""
    chance = np.random.default_rng(seed)
    rises: dict[str, list[float]] = {name: [] for name in FEATURE_NAMES}
    for train, test in split(labels, seed):
        fitted = clone(pipeline).fit(matrix[train], labels[train])
        before = losses(labels[test], fitted.predict_proba(matrix[test])[:, 1]).mean()
        for j, name in enumerate(FEATURE_NAMES):
            for _ in range(repeats):
                shuffled = matrix[test].copy()
                shuffled[:, j] = chance.permutation(shuffled[:, j])
                after = losses(labels[test], fitted.predict_proba(shuffled)[:, 1]).mean()
                rises[name].append(float(after - before))
    return {name: float(np.mean(found)) for name, found in rises.items()}
