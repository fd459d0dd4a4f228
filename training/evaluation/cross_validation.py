"""One stratified cross-validation of a classifier; the preprocessor, too, is fitted inside each fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

FittedFolds = Mapping[str, Sequence[Any]]
"""Pipelines by name, each fitted on the training part of every fold of one seed."""

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
class CrossValidation:
    """The result of one classifier.

    `metrics` are means and standard deviations (n - 1) over the `folds`. `risks` (n,) are the out-of-fold risks, and
    `calibration_slope` is theirs: 1 is ideal, below 1 risks are too extreme, above 1 too moderate.
    """

    name: str
    metrics: dict[str, Metric]
    risks: Risks
    calibration_slope: float
    folds: tuple[dict[str, float], ...] = ()


def stratified_folds(labels: Labels, seed: int) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return the training and test indices of each stratified, shuffled fold."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return list(folds.split(np.zeros((len(labels), 1)), labels))


def fit_folds(pipeline: Any, matrix: Matrix, labels: Labels, seed: int) -> list[Any]:
    """Fit an unfitted pipeline on the training part of each fold of (n, fields) rows. Blocks for seconds."""
    return [clone(pipeline).fit(matrix[train], labels[train]) for train, _ in stratified_folds(labels, seed)]


def cross_validate(
    name: str, pipeline: Any, matrix: Matrix, labels: Labels, *, seed: int, threshold: float
) -> CrossValidation:
    """Cross-validate an unfitted pipeline on (n, fields) rows. Blocks for seconds; `seed` determines the folds."""
    fitted = fit_folds(pipeline, matrix, labels, seed)
    return evaluate_folds(name, fitted, matrix, labels, seed=seed, threshold=threshold)


def evaluate_folds(
    name: str, fitted: Sequence[Any], matrix: Matrix, labels: Labels, *, seed: int, threshold: float
) -> CrossValidation:
    """Evaluate what `fit_folds` has fitted with this `seed`, each pipeline on the test part of its fold."""
    risks = np.empty(len(labels))
    folds: list[dict[str, float]] = []
    for (_, test), pipeline in zip(stratified_folds(labels, seed), fitted, strict=True):
        risks[test] = pipeline.predict_proba(matrix[test])[:, 1]
        folds.append(fold_metrics(labels[test], risks[test], threshold))
    return CrossValidation(
        name=name,
        metrics={metric: _summary([fold[metric] for fold in folds]) for metric in folds[0]},
        risks=risks,
        calibration_slope=float(calibration(labels, risks, np.ones((1, len(labels))))[0][0]),
        folds=tuple(folds),
    )


def fold_metrics(labels: Labels, risks: Risks, threshold: float) -> dict[str, float]:
    """Score risks (n,) against labels. The precision without any predicted positive is 0."""
    predicted = (risks >= threshold).astype(np.int64)
    by_label = {name: float(score(labels, predicted)) for name, score in _OF_LABELS.items()}
    return by_label | {name: float(score(labels, risks)) for name, score in _OF_RISKS.items()}


def _summary(values: list[float]) -> Metric:
    return Metric(mean=float(np.mean(values)), std=float(np.std(values, ddof=1)))
