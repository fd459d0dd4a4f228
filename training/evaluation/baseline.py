"""The usual pipeline, which puts the commonest or middle value in place of what is missing: shown as a warning.

A test that was not done is counted as if it had been normal. It is evaluated beside the models and never exported.
"""

from __future__ import annotations

from typing import Final

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from schemas.features import FEATURE_NAMES
from scoring.estimators import SCALED
from training.candidates import new_logistic_regression, new_pipeline

USUAL: Final = "median and mode"


def new_usual_pipeline(seed: int) -> Pipeline:
    """Return an unfitted logistic regression behind median (scales) and mode (codes) imputation."""
    strategies = {name: "median" if name in SCALED else "most_frequent" for name in FEATURE_NAMES}
    # One imputer a field keeps the fields in their order.
    imputers = [
        (name, SimpleImputer(strategy=strategies[name], keep_empty_features=True), [j])
        for j, name in enumerate(FEATURE_NAMES)
    ]
    return Pipeline([("impute", ColumnTransformer(imputers)), ("model", new_pipeline(new_logistic_regression(seed)))])
