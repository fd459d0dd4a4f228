"""The learning curve: ROC-AUC by the number of patients trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.metrics import roc_auc

TRAINING_SIZES: Final = (40, 80, 120, 160, 200, 240, 480, 960, 1_920, 3_840)


class LearningCurvePoint(msgspec.Struct, frozen=True):
    """The ROC-AUC of models trained on this many `patients`: mean and standard deviation over folds and repeats."""

    patients: int
    roc_auc: float
    deviation: float


def learning_curve(
    pipeline: Any, matrix: Matrix, labels: Labels, seeds: Sequence[int]
) -> tuple[LearningCurvePoint, ...]:
    """Train on growing samples of each fold's training part; test on its test part."""
    smallest = min(len(train) for seed in seeds for train, _ in stratified_folds(labels, seed))
    found: dict[int, list[float]] = {size: [] for size in TRAINING_SIZES if size <= smallest}
    for seed in seeds:
        for train, test in stratified_folds(labels, seed):
            for size, aucs in found.items():
                some = train
                if size <= len(train) - 2:
                    some, _ = train_test_split(train, train_size=size, stratify=labels[train], random_state=seed)
                risks = clone(pipeline).fit(matrix[some], labels[some]).predict_proba(matrix[test])[:, 1]
                aucs.append(float(roc_auc(labels[test], risks, np.ones((1, len(test))))[0]))
    return tuple(
        LearningCurvePoint(size, float(np.mean(aucs)), float(np.std(aucs, ddof=1))) for size, aucs in found.items()
    )
