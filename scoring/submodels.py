"""Pattern sub-models: a logistic regression for each set of fields that a record may have.

Missing values are not imputed: the record is scored by the sub-model that was trained without the field (Fletcher
Mercaldo and Blume, Biostatistics 2020). Like `scoring.estimators`, this is only imported by pickles and training.
"""

from __future__ import annotations

from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from scoring.estimators import Matrix, averages
from scoring.features import Mask
from scoring.logistic import logistic
from scoring.missingness import PatternColumns
from scoring.submodel_lookup import SubmodelLookup, covariance_of, filled

_MOST_STEPS: Final = 50
_CLOSE: Final = 1e-10
"""Newton's method doubles the correct digits: a step this small, in log-odds, is the last."""


class PatternSubmodels(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Logistic regressions, one for each missing pattern, fitted on the same rows.

    The input is the preprocessor's output, (n, columns) with NaN where a field is missing. When fitting, a row without
    a field that a sub-model uses gets the average; that concerns six of Cleveland's 303 rows. If not every pattern is
    listed, it gets the expectation given its other columns (decision 59). `coef_` is (patterns,
    columns), zero where the field is missing; `intercept_` (patterns,) is the log-odds of the average training patient.
    `covariance_` (columns, columns) is that of the rows, for the patterns that are not listed; None if all are. `line_`
    is the intercept and slope that a recalibration has applied to the log-odds.
    """

    imputes = False
    """Missing values are not replaced."""
    has_submodels = True

    def __init__(self, columns: PatternColumns, C: float = 1.0) -> None:  # noqa: N803  # scikit-learn's name
        """`C` is the inverse penalty, as in scikit-learn's LogisticRegression."""
        self.columns = columns
        self.C = C

    def fit(self, x: Matrix, y: Matrix) -> Self:
        """Fit all sub-models at once; takes about 0.3 s."""
        self.classes_ = np.unique(y)
        self.n_features_in_ = x.shape[1]
        self.center_ = averages(x)
        self.line_ = 0.0, 1.0
        self.covariance_ = None if self.columns.patterns.are_all else covariance_of(x - self.center_)
        fitted = fit_logistic(self.design(x), y, self.columns.used, 1 / self.C)
        self.intercept_, self.coef_ = fitted[:, 0].copy(), fitted[:, 1:].copy()
        return self

    def design(self, x: Matrix) -> Matrix:
        """Return preprocessed rows (n, columns) as they are fitted: centred, without gaps."""
        if self.covariance_ is None:
            return centered(x, self.center_)
        return filled(x - self.center_, self.covariance_)

    def decision_function(self, x: Matrix) -> Matrix:
        """Return the log-odds (n,) of rows (n, columns)."""
        lookup = SubmodelLookup(self.intercept_, self.coef_, self.covariance_, self.columns, self.line_)
        intercepts, coefficients = lookup.of(self.columns.patterns_of(x))
        summed: Matrix = (centered(x, self.center_) * coefficients).sum(axis=1)
        return intercepts + summed

    def predict_proba(self, x: Matrix) -> Matrix:
        """Return the probabilities (n, 2) of both classes."""
        risks = logistic(self.decision_function(x))
        return np.column_stack([1 - risks, risks])

    def predict(self, x: Matrix) -> Matrix:
        """Return the more probable class (n,)."""
        likelier: Matrix = self.classes_[(self.decision_function(x) > 0).astype(np.intp)]
        return likelier


def centered(x: Matrix, center: Matrix) -> Matrix:
    """Return preprocessed rows (n, columns) minus the average patient; 0 where missing."""
    return np.nan_to_num(x - center)


def fit_logistic(
    z: Matrix,
    labels: npt.NDArray[Any],
    used: Mask,
    penalty: float,
    weights: Matrix | None = None,
    start: Matrix | None = None,
) -> Matrix:
    """Fit several logistic regressions on the same rows by Newton's method; returns (models, 1 + columns).

    `used` (models, columns) says which columns of `z` (n, columns) each may use; the first coefficient is the
    intercept, which has no `penalty` (the inverse of C). `weights` (n,) count rows several times; `start` are
    coefficients to begin with.
    """
    design = np.column_stack([np.ones(len(z)), z])
    free = np.column_stack([np.ones(len(used), dtype=bool), used])
    ridge = np.where(np.arange(design.shape[1]) == 0, 0.0, penalty)
    counts = np.ones(len(z)) if weights is None else weights
    upper = np.triu_indices(design.shape[1])
    products = design[:, upper[0]] * design[:, upper[1]]
    found = np.zeros(free.shape) if start is None else start.copy()
    for _ in range(_MOST_STEPS):
        risks = logistic(found @ design.T)
        slope = ((risks - labels) * counts) @ design + ridge * found
        curve = np.empty((len(used), design.shape[1], design.shape[1]))
        packed = (risks * (1 - risks) * counts) @ products
        curve[:, upper[0], upper[1]] = curve[:, upper[1], upper[0]] = packed
        step = _solve(curve, ridge, slope, free)
        # From far away Newton's step goes too far: no coefficient moves by more than 1 at once.
        found -= step / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        if np.abs(step).max() < _CLOSE:
            return found
    raise FloatingPointError(f"the sub-models did not converge in {_MOST_STEPS} steps")


def _solve(curve: Matrix, ridge: Matrix, slope: Matrix, free: Mask) -> Matrix:
    """Return each model's Newton step, zero for columns that it does not use."""
    curve *= free[:, :, None] & free[:, None, :]
    diagonal = np.arange(curve.shape[1])
    curve[:, diagonal, diagonal] += np.where(free, ridge, 1.0)
    step: Matrix = np.asarray(np.linalg.solve(curve, (slope * free)[:, :, None]), dtype=np.float64)[:, :, 0]
    return step
