"""Nested tuning: what a search over parameters would have found, and what it is worth on patients it did not see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from training.arrays import Labels, Matrix
from training.candidates import LOGISTIC_REGRESSION, PATTERN_SUBMODELS, RANDOM_FOREST
from training.evaluation.cross_validation import FOLDS, split
from training.evaluation.repeated_cv import Step

GRIDS: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    LOGISTIC_REGRESSION: {"classify__classify__C": [0.03, 0.1, 0.3, 1.0, 3.0]},
    PATTERN_SUBMODELS: {"classify__C": [0.03, 0.1, 0.3, 1.0, 3.0]},
    RANDOM_FOREST: {"classify__classify__min_samples_leaf": [1, 3, 5, 10]},
}


class Tuned(msgspec.Struct, frozen=True):
    """What nested tuning gave: the parameter of each outer fold, and that of a search on all rows."""

    parameter: str
    by_fold: tuple[float, ...]
    on_all_rows: float


def nested(model: str, pipeline: Any, matrix: Matrix, labels: Labels, seed: int, step: Step) -> tuple[Tuned, Matrix]:
    """Tune an unfitted pipeline by log loss inside each outer fold; returns the choices, and risks out of fold (n,)."""
    grid = GRIDS[model]
    (parameter,) = grid
    risks, chosen = np.empty(len(labels)), []
    for fold, (train, test) in enumerate(split(labels, seed), 1):
        step(f"tuning {model}, fold {fold} of {FOLDS}")
        search = _search(pipeline, grid, seed).fit(matrix[train], labels[train])
        risks[test] = search.predict_proba(matrix[test])[:, 1]
        chosen.append(float(search.best_params_[parameter]))
    on_all_rows = float(_search(pipeline, grid, seed).fit(matrix, labels).best_params_[parameter])
    return Tuned(parameter.rsplit("__", 1)[-1], tuple(chosen), on_all_rows), risks


def _search(pipeline: Any, grid: Mapping[str, Sequence[Any]], seed: int) -> GridSearchCV:
    inner = StratifiedKFold(FOLDS, shuffle=True, random_state=seed + 1)
    return GridSearchCV(
        clone(pipeline),
        {name: list(values) for name, values in grid.items()},
        scoring="neg_log_loss",
        cv=inner,
        refit=True,
    )
