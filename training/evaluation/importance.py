"""Permutation importance of the fields, out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.metrics import log_losses


def permutation_importance(
    pipeline: Any, matrix: Matrix, labels: Labels, names: Sequence[str], seed: int, repeats: int = 5
) -> dict[str, float]:
    """Return the mean increase of the out-of-fold log loss when each field is permuted."""
    rng = np.random.default_rng(seed)
    increases: dict[str, list[float]] = {name: [] for name in names}
    for train, test in stratified_folds(labels, seed):
        fitted = clone(pipeline).fit(matrix[train], labels[train])
        before = log_losses(labels[test], fitted.predict_proba(matrix[test])[:, 1]).mean()
        for j, name in enumerate(names):
            for _ in range(repeats):
                shuffled = matrix[test].copy()
                shuffled[:, j] = rng.permutation(shuffled[:, j])
                after = log_losses(labels[test], fitted.predict_proba(shuffled)[:, 1]).mean()
                increases[name].append(float(after - before))
    return {name: float(np.mean(found)) for name, found in increases.items()}
