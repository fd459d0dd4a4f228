"""How far a risk can be trusted, computed once at training so that a score can say it at next to no cost.

Two things are told of each risk. The interval says how much it moves when other patients of the same kind are trained
on (bootstrap). The labels say which outcomes are plausible for this patient (conformal prediction by class): each true
outcome is among them in 90 of 100 patients who are like the training patients, and both means "uncertain".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from scoring.estimators import new_preprocessor
from scoring.logistic import logistic
from scoring.patterns import PATTERNS
from scoring.submodels import PatternSubmodels, centered, fit_logistic, used_columns
from training.data import Labels, Matrix
from training.evaluate import split

COVERAGE: Final = 0.9
BOOTSTRAPS: Final = 200
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What a fast engine needs to say of each risk; see `scoring.plain` for both. `spread` is None for a forest."""

    spread: Matrix | None
    label_limits: Matrix


def is_linear(classifier: Any) -> bool:
    """Say whether a classifier is one logistic regression, or one for each pattern."""
    return isinstance(classifier, PatternSubmodels) or (
        isinstance(classifier, Pipeline) and isinstance(classifier["classify"], LogisticRegression)
    )


def linear_of(classifier: Any) -> tuple[Matrix, Matrix]:
    """Return intercepts (models,) and coefficients (models, 22) of a linear classifier over centered columns."""
    if isinstance(classifier, PatternSubmodels):
        return classifier.intercept_, classifier.coef_
    coefficients: Matrix = classifier["classify"].coef_
    return classifier["classify"].intercept_ + coefficients @ classifier["average"].statistics_, coefficients


def measure(classifier: Any, inputs: Matrix, matrix: Matrix, labels: Labels, seed: int, bootstraps: int) -> Uncertainty:
    """Measure the uncertainty of a fitted classifier on its training rows, preprocessed (n, 22) and before (n, 13)."""
    spread = _spread(classifier, inputs, labels, seed, bootstraps) if is_linear(classifier) else None
    return Uncertainty(spread, label_limits(labels, risks_by_pattern(classifier, matrix, labels, seed)))


def _spread(classifier: Any, inputs: Matrix, labels: Labels, seed: int, bootstraps: int) -> Matrix:
    """Return the spread (models, 276) of the coefficients over bootstrap samples of the patients.

    On the log-odds scale a normal distribution of that spread holds 90.1% of the bootstrap samples' own risks between
    its limits of 90%, so the samples themselves need not be kept: 200 of them, for each pattern, would be 37 MB.
    """
    intercepts, coefficients = linear_of(classifier)
    fitted = np.column_stack([intercepts, coefficients])
    z = centered(inputs, np.nanmean(inputs, axis=0))
    used = used_columns() if len(fitted) == PATTERNS else np.ones((1, z.shape[1]), dtype=bool)
    penalty = 1 / (classifier.C if isinstance(classifier, PatternSubmodels) else classifier["classify"].C)
    chance = np.random.default_rng(seed)
    moved = np.zeros((*fitted.shape, fitted.shape[1]))
    for _ in range(bootstraps):
        counts = np.bincount(chance.integers(0, len(z), len(z)), minlength=len(z)).astype(np.float64)
        shift = fit_logistic(z, labels, used, penalty, counts, fitted) - fitted
        moved += shift[:, :, None] * shift[:, None, :]
    return triangles(moved / bootstraps)


def triangles(covariances: Matrix) -> Matrix:
    """Return, for each covariance (models, k, k), the upper triangle row by row of an R with RᵀR equal to it.

    To six digits: it is an estimate, and text.
    """
    sizes, axes = np.linalg.eigh(covariances)
    roots = np.sqrt(np.maximum(sizes, 0))[:, :, None] * axes.transpose(0, 2, 1)
    rows, columns = np.triu_indices(covariances.shape[1])
    upper: Matrix = np.asarray(np.linalg.qr(roots, mode="r"))[:, rows, columns]
    scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.maximum(np.abs(upper), 1e-12))))
    rounded: Matrix = np.round(upper * scale) / scale
    return rounded


def risks_by_pattern(classifier: Any, matrix: Matrix, labels: Labels, seed: int) -> Matrix:
    """Return each row's risk under each pattern, (n, 1024), from models of its kind that were not trained on it.

    A forest is asked for complete records alone; the rest is NaN.
    """
    risks = np.full((len(labels), PATTERNS), np.nan)
    for train, test in split(labels, seed):
        preprocessor = new_preprocessor().fit(matrix[train])
        fitted = clone(classifier).fit(preprocessor.transform(matrix[train]), labels[train])
        inputs = preprocessor.transform(matrix[test])
        if is_linear(classifier):
            risks[test] = _of_linear(fitted, inputs, np.nanmean(preprocessor.transform(matrix[train]), axis=0))
        else:
            risks[test, 0] = fitted.predict_proba(inputs)[:, 1]
    return risks


def _of_linear(fitted: Any, inputs: Matrix, center: Matrix) -> Matrix:
    intercepts, coefficients = linear_of(fitted)
    log_odds: Matrix = centered(inputs, center) @ (coefficients * used_columns()).T + intercepts
    return logistic(log_odds)


def label_limits(labels: Labels, risks: Matrix) -> Matrix:
    """Return, for each column of `risks` (n, patterns), up to which risk label 0 is plausible, and from which label 1.

    Conformal by class (Mondrian), with out-of-fold risks: all but 10% of the class's patients keep to the limit. The
    folds' models stand for the final one, so the 90% is measured (`training.stability`) and not guaranteed.
    """
    healthy, ill = risks[labels == 0], risks[labels == 1]
    highest = np.sort(healthy, axis=0)[_rank(len(healthy))]
    lowest = -np.sort(-ill, axis=0)[_rank(len(ill))]
    return np.column_stack([highest, lowest])


def _rank(patients: int) -> int:
    return min(ceil((patients + 1) * COVERAGE), patients) - 1
