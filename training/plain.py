"""A fitted model in the plain form that fast engines read, with the proof that goes with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from scoring.estimators import BINARY, ONE_HOT, SCALED, columns
from scoring.golden import golden_digest, golden_records
from scoring.plain import Linear, PlainModel
from scoring.plan import MISSING_ROW, TABLE_ROWS, Plan
from training.data import Matrix


def plain_model(preprocessor: Any, classifier: Any) -> PlainModel | None:
    """Return the model as numbers, None for a kind of classifier that no fast engine knows.

    Raises TypeError for a preprocessor that is not of the known form.
    """
    if not isinstance(classifier, LogisticRegression | RandomForestClassifier):
        return None
    linear = None
    if isinstance(classifier, LogisticRegression):
        linear = Linear(classifier.coef_[0], float(classifier.intercept_[0]))
    return PlainModel(
        plan=plan_of(preprocessor),
        linear=linear,
        golden_digest=golden_digest(),
        golden_risks=classifier.predict_proba(preprocessor.transform(golden_records()))[:, 1],
    )


def plan_of(preprocessor: Any) -> Plan:
    """Read the tables off a fitted preprocessor; raises TypeError for one that is not of the known form."""
    if not isinstance(preprocessor, ColumnTransformer):
        raise TypeError("the preprocessor is not a ColumnTransformer")
    if [name for name, _, _ in preprocessor.transformers_] != ["scaled", "binary", "one_hot"]:
        raise TypeError("the preprocessor has other steps than scaled, binary and one_hot")
    parts = preprocessor.named_transformers_
    imputer, scaler = parts["scaled"].named_steps["impute"], parts["scaled"].named_steps["scale"]
    ones = np.ones(len(BINARY))
    encoder = parts["one_hot"]
    return Plan(
        affine=columns(SCALED) + columns(BINARY),
        fill=np.concatenate([imputer.statistics_, parts["binary"].statistics_]),
        mean=np.concatenate([scaler.mean_, 0 * ones]),
        scale=np.concatenate([scaler.scale_, ones]),
        lookup=columns(ONE_HOT),
        tables=tuple(_table(*pair) for pair in zip(encoder.codes, encoder.expected_, strict=True)),
    )


def _table(codes: list[int], expected: Matrix) -> Matrix:
    table = np.zeros((TABLE_ROWS, len(codes)))
    for position, code in enumerate(codes):
        table[code, position] = 1.0
    table[MISSING_ROW] = expected
    return table
