"""Cross-validation: how good a classifier is on patients that it has not seen.

Everything that learns, the preprocessor included, is fitted inside each fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold

from scoring.model_artifact import Metric
from training.arrays import Labels, Matrix, Risks
from training.evaluation.metrics import calibration

FOLDS: Final = 5

_OF_LABELS: Final[dict[str, Callable[..., float]]] = {
    "accuracy": accuracy_score,
    "precision": partial(precision_score, zero_division=0.0),
    "recall": recall_score,
    "specificity": partial(recall_score, pos_label=0),
    "f1": f1_score,
}
_OF_RISKS: Final[dict[str, Callable[..., float]]] = {
    "roc_auc": roc_auc_score,
    "brier": brier_score_loss,
    "log_loss": log_loss,
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How one classifier did.

    `metrics` are means and standard deviations (n - 1) over the `folds`; labels are taken at the threshold. `risks`
    holds each training row's risk from the fold that did not train on it, (n,). `calibration_slope` is that of those
    risks: 1 is right, below 1 the risks are too extreme, above 1 too timid.
    """

    name: str
    metrics: dict[str, Metric]
    risks: Risks
    calibration_slope: float
    folds: tuple[dict[str, float], ...] = ()


def split(labels: Labels, seed: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return the positions of the training and test rows of each stratified, shuffled fold."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros((len(labels), 1)), labels))


def evaluate(name: str, pipeline: Any, matrix: Matrix, labels: Labels, *, seed: int, threshold: float) -> Evaluation:
    """Cross-validate an unfitted pipeline on (n, 13) rows. Blocks for seconds; `seed` decides the folds."""
    risks = np.empty(len(labels))
    folds: list[dict[str, float]] = []
    for train, test in split(labels, seed):
        fitted = clone(pipeline).fit(matrix[train], labels[train])
        risks[test] = fitted.predict_proba(matrix[test])[:, 1]
        folds.append(scores(labels[test], risks[test], threshold))
    return Evaluation(
        name=name,
        metrics={metric: _summary([fold[metric] for fold in folds]) for metric in folds[0]},
        risks=risks,
        calibration_slope=float(calibration(labels, risks, np.ones((1, len(labels))))[0][0]),
        folds=tuple(folds),
    )


def scores(labels: Labels, risks: Risks, threshold: float) -> dict[str, float]:
    """Measure risks (n,) against what is true. A precision without any positive label counts as 0."""
    said = (risks >= threshold).astype(np.int64)
    by_label = {name: float(measure(labels, said)) for name, measure in _OF_LABELS.items()}
    return by_label | {name: float(measure(labels, risks)) for name, measure in _OF_RISKS.items()}


def _summary(values: list[float]) -> Metric:
    return Metric(mean=float(np.mean(values)), std=float(np.std(values, ddof=1)))
