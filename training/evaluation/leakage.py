"""Leakage checks: results that this data cannot give, and permuted labels that are predicted better than by chance."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from sklearn.base import clone

from schemas.errors import ArtifactError
from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import split
from training.evaluation.metrics import roc_auc

HIGHEST_ROC_AUC: Final = 0.95
HIGHEST_ACCURACY: Final = 0.92
"""Honest work on these 13 fields ends at 0.91 (95% interval 0.88 to 0.94) and 0.86; beyond these limits is a leak, for
as many patients as Cleveland has."""
_CEILING: Final = (0.91, 0.86)
_CLEVELAND: Final = (164, 139)


def highest_believed(labels: Labels) -> tuple[float, float]:
    """Return the highest ROC-AUC and accuracy that honest work can reach on these patients, by chance included.

    The limits are Cleveland's: a distance above what honest work gives there. Among fewer patients chance reaches
    further, by the square root. Where nearly all have the same outcome it is easy to be accurate: errors are measured
    against those of always saying the commoner outcome.
    """
    ill, rows = int(labels.sum()), len(labels)
    pairs, at_cleveland = ill * (rows - ill) / rows, _CLEVELAND[0] * _CLEVELAND[1] / sum(_CLEVELAND)
    reach = max(1.0, float(np.sqrt(at_cleveland / pairs)))
    easy = min(1.0, min(ill, rows - ill) / rows * sum(_CLEVELAND) / min(_CLEVELAND))
    roc_auc = _CEILING[0] + (HIGHEST_ROC_AUC - _CEILING[0]) * reach
    accuracy = 1 - (1 - _CEILING[1]) * easy + (HIGHEST_ACCURACY - _CEILING[1]) * easy * reach
    return roc_auc, accuracy


def refuse_too_good(model: str, roc_auc: float, accuracy: float, labels: Labels) -> None:
    """Raise ArtifactError if a cross-validated result is better than this data allows."""
    limits = highest_believed(labels)
    if roc_auc > limits[0] or accuracy > limits[1]:
        raise ArtifactError(
            f"{model} is too good to be true: ROC-AUC {roc_auc:.3f} (limit {limits[0]:.3f}), accuracy {accuracy:.3f} "
            f"(limit {limits[1]:.3f}); look for repeated rows or a field that knows the answer"
        )


_SHUFFLES: Final = 12
_SHUFFLED_LIMIT: Final = 0.05


def shuffled_roc_auc(pipeline: Any, matrix: Matrix, labels: Labels, seed: int) -> float:
    """Return the mean ROC-AUC on labels dealt out at random: 0.5, or the evaluation leaks. Raises ArtifactError."""
    aucs = []
    for shuffle in range(_SHUFFLES):
        dealt = np.random.default_rng(seed + shuffle).permutation(labels)
        risks = np.empty(len(labels))
        for train, test in split(dealt, seed):
            risks[test] = clone(pipeline).fit(matrix[train], dealt[train]).predict_proba(matrix[test])[:, 1]
        aucs.append(roc_auc(dealt, risks, np.ones((1, len(labels))))[0])
    mean = float(np.mean(aucs))
    if abs(mean - 0.5) > _SHUFFLED_LIMIT:
        raise ArtifactError(f"labels dealt out at random are predicted with ROC-AUC {mean:.3f}: the evaluation leaks")
    return mean
