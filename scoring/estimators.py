"""The estimators that go into model artifacts. They live here so that unpickling an artifact never needs `training`.

No module of a serving process imports this one; a pickle does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scoring.preprocessing import PreprocessedColumns

Matrix = npt.NDArray[np.float64]


class CodeEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """One-hot encoding in which a missing value is missing in all columns of its field.

    What becomes of it is not for an encoder to decide.
    """

    def __init__(self, codes: Sequence[Sequence[int]] = ()) -> None:
        """`codes` lists, for each input column, its valid codes in ascending order."""
        self.codes = codes

    def fit(self, x: Matrix, y: object = None) -> Self:  # noqa: ARG002  # scikit-learn's signature
        """Learn nothing but the number of columns: the codes are known."""
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Matrix) -> Matrix:
        """Return the (n, sum of code counts) matrix for `x` (n, columns)."""
        blocks = [
            np.where(np.isnan(column)[:, None], np.nan, column[:, None] == np.array(codes))
            for column, codes in zip(x.T, self.codes, strict=True)
        ]
        return np.concatenate(blocks, axis=1)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> npt.NDArray[np.object_]:
        """Name the output columns `field_code`."""
        names = input_features if input_features is not None else [f"x{i}" for i in range(len(self.codes))]
        pairs = [f"{name}_{code}" for name, codes in zip(names, self.codes, strict=True) for code in codes]
        return np.array(pairs, dtype=object)


class GradientBoosting(HistGradientBoostingClassifier):  # type: ignore[misc]  # scikit-learn ships no types
    """Boosted trees, each of whose splits sends missing values to the side that fits the training rows better.

    Single-threaded: on a busy machine OpenMP's threads wait for each other, and small data gain nothing by them.
    """

    imputes = False
    """Missing values are not replaced."""

    def fit(self, x: Matrix, y: Matrix, sample_weight: Matrix | None = None) -> Self:
        """Fit rows (n, columns), NaN where missing. scikit-learn cannot bin a column without any value: it gets one."""
        with threadpool_limits(1, "openmp"):
            super().fit(np.where(np.isnan(x).all(axis=0), 0.0, x), y, sample_weight)
        return self

    def predict_proba(self, x: Matrix) -> Matrix:
        """Return the probabilities (n, 2) of both classes."""
        with threadpool_limits(1, "openmp"):
            probabilities: Matrix = super().predict_proba(x)
        return probabilities


class FieldScaler(StandardScaler):  # type: ignore[misc]  # scikit-learn ships no types
    """StandardScaler that ignores fields without any value in training: their mean would be NaN, with a warning."""

    def fit(self, x: Matrix, y: object = None, sample_weight: Matrix | None = None) -> Self:
        """Learn mean and deviation of the measured values."""
        with np.errstate(invalid="ignore"):
            super().fit(x, y, sample_weight)
        never = np.isnan(self.mean_)
        self.mean_[never], self.var_[never], self.scale_[never] = 0.0, 1.0, 1.0
        return self


def averages(x: Matrix) -> Matrix:
    """Return the mean of the measured values in each column, (n, columns) to (columns,); 0 without any."""
    measured = ~np.isnan(x)
    mean: Matrix = np.where(measured, x, 0.0).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
    return mean


def new_preprocessor(columns: PreprocessedColumns) -> ColumnTransformer:
    """Return the unfitted preprocessor: (n, fields) float64 to (n, columns); NaN, missing, stays NaN."""
    return ColumnTransformer(
        [
            ("scaled", FieldScaler(), columns.scaled),
            ("binary", "passthrough", columns.binary),
            ("one_hot", CodeEncoder(columns.codes), columns.one_hot),
        ]
    )
