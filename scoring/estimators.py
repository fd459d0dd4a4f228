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
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from schemas.features import FEATURE_NAMES, FEATURES

Matrix = npt.NDArray[np.float64]

SCALED = ("age", "trestbps", "chol", "thalach", "oldpeak", "ca")
"""Fields on a scale: the average stands in for a missing value, then standard units. `ca` is a count, 0 to 3."""
BINARY = ("sex", "fbs", "exang")
"""0/1 fields: the training share of 1 stands in for a missing value."""
ONE_HOT = ("cp", "restecg", "slope", "thal")
"""Fields with more than two codes."""


class ExpectedOneHotEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """One-hot encoding in which a missing value becomes the average of the training rows, not the commonest code.

    Putting the commonest code ("normal", for thal) in place of a test that was not done understates risk badly; the
    average is what is expected of a patient of whom nothing else is known.
    """

    def __init__(self, codes: Sequence[Sequence[int]] = ()) -> None:
        """`codes` lists, for each input column, its legal codes in ascending order."""
        self.codes = codes

    def fit(self, x: Matrix, y: object = None) -> Self:  # noqa: ARG002  # scikit-learn's signature
        """Learn the share of each code among the rows (n, columns) that have the field; NaN is missing."""
        self.n_features_in_ = x.shape[1]
        self.expected_ = [
            np.nanmean(np.where(np.isnan(column)[:, None], np.nan, column[:, None] == np.array(codes)), axis=0)
            for column, codes in zip(x.T, self.codes, strict=True)
        ]
        return self

    def transform(self, x: Matrix) -> Matrix:
        """Return the (n, sum of code counts) matrix for `x` (n, columns)."""
        blocks = [
            np.where(np.isnan(column)[:, None], expected, column[:, None] == np.array(codes))
            for column, codes, expected in zip(x.T, self.codes, self.expected_, strict=True)
        ]
        return np.concatenate(blocks, axis=1).astype(np.float64)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> npt.NDArray[np.object_]:
        """Name the output columns `field_code`."""
        names = input_features if input_features is not None else [f"x{i}" for i in range(len(self.codes))]
        pairs = [f"{name}_{code}" for name, codes in zip(names, self.codes, strict=True) for code in codes]
        return np.array(pairs, dtype=object)


def columns(names: Sequence[str]) -> list[int]:
    """Return the positions of fields in the 13-column matrix."""
    return [FEATURE_NAMES.index(name) for name in names]


def new_preprocessor() -> ColumnTransformer:
    """Return the unfitted preprocessor: (n, 13) float64 with NaN for missing, in feature-table order, to (n, 22)."""
    codes = [[code for code, _ in FEATURES[i].codes] for i in columns(ONE_HOT)]
    scaled = Pipeline([("impute", SimpleImputer(strategy="mean")), ("scale", StandardScaler())])
    return ColumnTransformer(
        [
            ("scaled", scaled, columns(SCALED)),
            ("binary", SimpleImputer(strategy="mean"), columns(BINARY)),
            ("one_hot", ExpectedOneHotEncoder(codes), columns(ONE_HOT)),
        ]
    )
