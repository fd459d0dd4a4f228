"""A classifier of somebody's own package, which no converter knows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class ShareOfMeasured(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Estimates the outcome's share among patients with as many measured fields, and a little for age."""

    def fit(self, x: Any, y: Any) -> Self:
        self.classes_, self.n_features_in_ = np.unique(y), x.shape[1]
        self.share_, self.age_ = float(np.mean(y)), float(np.nanmean(x[:, 0]))
        return self

    def predict(self, x: Any) -> Any:
        return self.classes_[(self.predict_proba(x)[:, 1] >= 0.5).astype(int)]

    def predict_proba(self, x: Any) -> Any:
        odds = np.log(self.share_ / (1 - self.share_)) + (x[:, 0] - self.age_) / 20 - np.isnan(x).sum(axis=1) / 10
        risks = 1 / (1 + np.exp(-odds))
        return np.column_stack([1 - risks, risks])
