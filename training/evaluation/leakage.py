"""Leakage checks: implausibly good results, and permuted labels that are predicted better than by chance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.base import clone

from schemas.errors import ArtifactError
from schemas.tables.patients import Plausible
from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.metrics import roc_auc

_MARGIN: Final = (0.04, 0.06)
"""How far ROC-AUC and accuracy may exceed the table's plausible ones, with as many patients: more indicates leakage."""


def plausible_limits(labels: Labels, known: Plausible) -> tuple[float, float]:
    """Return the highest ROC-AUC and accuracy that these patients can give without leakage, chance included.

    The limits are set a margin above the known results. With fewer patients the margin grows by the square root.
    With an extreme prevalence a high accuracy is easy: errors are scaled by those of predicting the majority class.
    """
    positives, rows, both = int(labels.sum()), len(labels), (known.negatives, known.positives)
    pairs, known_pairs = positives * (rows - positives) / rows, both[0] * both[1] / sum(both)
    margin = max(1.0, float(np.sqrt(known_pairs / pairs)))
    scale = min(1.0, min(positives, rows - positives) / rows * sum(both) / min(both))
    roc_auc = known.roc_auc + _MARGIN[0] * margin
    accuracy = 1 - (1 - known.accuracy) * scale + _MARGIN[1] * scale * margin
    return roc_auc, accuracy


def refuse_implausible(model: str, roc_auc: float, accuracy: float, labels: Labels, known: Plausible | None) -> None:
    """Raise ArtifactError if a cross-validated result is implausibly good, as far as plausible ones are known."""
    if known is None:
        return
    limits = plausible_limits(labels, known)
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
