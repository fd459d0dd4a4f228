"""The baseline: logistic regression after median and mode imputation, the usual way to handle missing values.

Imputation scores a test that was not done as if it had been normal. The baseline is evaluated beside the candidates to
show what that costs, and never exported.
"""

from __future__ import annotations

from typing import Final

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from schemas.features import FEATURE_NAMES
from scoring.estimators import SCALED
from training.candidates import new_logistic_regression, new_pipeline

BASELINE: Final = "median and mode"


def new_baseline_pipeline(seed: int) -> Pipeline:
    """Return an unfitted logistic regression after median (numeric fields) and mode (coded fields) imputation."""
    strategies = {name: "median" if name in SCALED else "most_frequent" for name in FEATURE_NAMES}
    # One imputer per field keeps the order of the fields.
    imputers = [
        (name, SimpleImputer(strategy=strategies[name], keep_empty_features=True), [j])
        for j, name in enumerate(FEATURE_NAMES)
    ]
    return Pipeline([("impute", ColumnTransformer(imputers)), ("model", new_pipeline(new_logistic_regression(seed)))])
