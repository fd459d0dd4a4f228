"""Nested hyperparameter tuning: the parameters found, and their performance out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from training.arrays import Labels, Matrix
from training.candidates import GRADIENT_BOOSTING, LOGISTIC_REGRESSION, PATTERN_SUBMODELS, RANDOM_FOREST
from training.evaluation.cross_validation import FOLDS, stratified_folds
from training.evaluation.repeated_cv import OnStep

GRIDS: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    LOGISTIC_REGRESSION: {"classify__classify__C": [0.03, 0.1, 0.3, 1.0, 3.0]},
    PATTERN_SUBMODELS: {"classify__C": [0.03, 0.1, 0.3, 1.0, 3.0]},
    RANDOM_FOREST: {"classify__classify__min_samples_leaf": [1, 3, 5, 10]},
    GRADIENT_BOOSTING: {"classify__max_iter": [30, 60, 100, 200]},
}


class TuningResult(msgspec.Struct, frozen=True):
    """The parameter selected in each outer fold, and by a search on all rows."""

    parameter: str
    by_fold: tuple[float, ...]
    on_all_rows: float


def nested_tuning(
    model: str, pipeline: Any, matrix: Matrix, labels: Labels, seed: int, step: OnStep
) -> tuple[TuningResult, Matrix]:
    """Tune an unfitted pipeline by log loss inside each outer fold; return parameters and out-of-fold risks."""
    grid = GRIDS[model]
    (parameter,) = grid
    risks, selected = np.empty(len(labels)), []
    for fold, (train, test) in enumerate(stratified_folds(labels, seed), 1):
        step(f"tuning {model}, fold {fold} of {FOLDS}")
        search = _search(pipeline, grid, seed).fit(matrix[train], labels[train])
        risks[test] = search.predict_proba(matrix[test])[:, 1]
        selected.append(float(search.best_params_[parameter]))
    on_all_rows = float(_search(pipeline, grid, seed).fit(matrix, labels).best_params_[parameter])
    return TuningResult(parameter.rsplit("__", 1)[-1], tuple(selected), on_all_rows), risks


def _search(pipeline: Any, grid: Mapping[str, Sequence[Any]], seed: int) -> GridSearchCV:
    inner = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + 1)
    return GridSearchCV(
        clone(pipeline),
        {name: list(values) for name, values in grid.items()},
        scoring="neg_log_loss",
        cv=inner,
        refit=True,
    )
