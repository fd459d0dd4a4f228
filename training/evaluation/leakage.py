"""Leakage checks: implausibly good results, and permuted labels that are predicted better than by chance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.base import clone

from schemas.errors import ArtifactError
from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.metrics import roc_auc

MAX_ROC_AUC: Final = 0.95
MAX_ACCURACY: Final = 0.92
"""Without leakage, these 13 fields reach 0.91 (95% interval 0.88 to 0.94) and 0.86. Results beyond these limits
indicate leakage, for as many patients as Cleveland has."""
_CEILING: Final = (0.91, 0.86)
_CLEVELAND: Final = (164, 139)


def plausible_limits(labels: Labels) -> tuple[float, float]:
    """Return the highest ROC-AUC and accuracy that these patients can give without leakage, chance included.

    The limits are set a margin above what Cleveland gives. With fewer patients the margin grows by the square root.
    With an extreme prevalence a high accuracy is easy: errors are scaled by those of predicting the majority class.
    """
    positives, rows = int(labels.sum()), len(labels)
    pairs, at_cleveland = positives * (rows - positives) / rows, _CLEVELAND[0] * _CLEVELAND[1] / sum(_CLEVELAND)
    margin = max(1.0, float(np.sqrt(at_cleveland / pairs)))
    scale = min(1.0, min(positives, rows - positives) / rows * sum(_CLEVELAND) / min(_CLEVELAND))
    roc_auc = _CEILING[0] + (MAX_ROC_AUC - _CEILING[0]) * margin
    accuracy = 1 - (1 - _CEILING[1]) * scale + (MAX_ACCURACY - _CEILING[1]) * scale * margin
    return roc_auc, accuracy


def refuse_implausible(model: str, roc_auc: float, accuracy: float, labels: Labels) -> None:
    """Raise ArtifactError if a cross-validated result is implausibly good."""
    limits = plausible_limits(labels)
    if roc_auc > limits[0] or accuracy > limits[1]:
        raise ArtifactError(
            f"{model} is too good to be true: ROC-AUC {roc_auc:.3f} (limit {limits[0]:.3f}), accuracy {accuracy:.3f} "
            f"(limit {limits[1]:.3f}); look for duplicate rows or a field that reveals the outcome"
        )


_PERMUTATIONS: Final = 12
_PERMUTED_LIMIT: Final = 0.05


def permuted_labels_roc_auc(pipeline: Any, matrix: Matrix, labels: Labels, seed: int) -> float:
    """Return the mean ROC-AUC on permuted labels. Raises ArtifactError unless it is about 0.5: the evaluation leaks."""
    aucs = []
    for permutation in range(_PERMUTATIONS):
        permuted = np.random.default_rng(seed + permutation).permutation(labels)
        risks = np.empty(len(labels))
        for train, test in stratified_folds(permuted, seed):
            risks[test] = clone(pipeline).fit(matrix[train], permuted[train]).predict_proba(matrix[test])[:, 1]
        aucs.append(roc_auc(permuted, risks, np.ones((1, len(labels))))[0])
    mean = float(np.mean(aucs))
    if abs(mean - 0.5) > _PERMUTED_LIMIT:
        raise ArtifactError(f"permuted labels are predicted with ROC-AUC {mean:.3f}: the evaluation leaks")
    return mean
