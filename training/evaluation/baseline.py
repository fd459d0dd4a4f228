"""The baseline: logistic regression after median and mode imputation, the usual way to handle missing values.

Imputation scores a test that was not done as if it had been normal. The baseline is evaluated beside the candidates to
show what that costs, and never exported.
"""

from __future__ import annotations

from typing import Final

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from scoring.compiled_table import CompiledTable
from training.candidates import new_logistic_regression, new_pipeline

BASELINE: Final = "median and mode"


def new_baseline_pipeline(compiled: CompiledTable, seed: int) -> Pipeline:
    """Return an unfitted logistic regression after median (numeric fields) and mode (coded fields) imputation."""
    # One imputer per field keeps the order of the fields.
    imputers = [
        (
            name,
            SimpleImputer(
                strategy="median" if j in compiled.columns.scaled else "most_frequent", keep_empty_features=True
            ),
            [j],
        )
        for j, name in enumerate(compiled.table.names)
    ]
    model = new_pipeline(new_logistic_regression(compiled, seed), compiled)
    return Pipeline([("impute", ColumnTransformer(imputers)), ("model", model)])
