"""Exports a fitted model in the portable form of the fast engines, with reference results that verify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from sklearn.compose import ColumnTransformer

from scoring.engines import LinearEngine
from scoring.estimators import BINARY, ONE_HOT, SCALED, columns
from scoring.portable_model import Linear, PortableModel
from scoring.preprocessing import MISSING_ROW, TABLE_ROWS, Plan
from scoring.reference_cases import reference_cases, reference_cases_sha256
from scoring.reference_results import reference_results
from scoring.uncertainty import Uncertainty
from training.arrays import Matrix
from training.candidates import center_of, is_linear, linear_of


def new_portable_model(preprocessor: Any, classifier: Any, uncertainty: Uncertainty) -> PortableModel | None:
    """Return the portable form of a model, None for a classifier that no fast engine supports.

    Raises TypeError for an unsupported preprocessor.
    """
    center = center_of(classifier)
    if center is None:
        return None
    linear = Linear(*linear_of(classifier)) if is_linear(classifier) else None
    return PortableModel(
        plan=plan_of(preprocessor),
        center=center,
        linear=linear,
        uncertainty=uncertainty,
        reference_cases_sha256=reference_cases_sha256(),
        reference_risks=classifier.predict_proba(preprocessor.transform(reference_cases()))[:, 1],
    )


def with_answers(plain: PortableModel, ranges: Mapping[str, tuple[float, float]]) -> PortableModel:
    """Return the model with its results for the reference cases added; `ranges` are the training ranges."""
    linear = plain.linear
    found = None if linear is None else LinearEngine(plain.plan, plain.center, linear).explain(reference_cases())
    log_odds = None if found is None else found.log_odds
    return msgspec.structs.replace(plain, reference_results=reference_results(log_odds, plain.uncertainty, ranges))


def plan_of(preprocessor: Any) -> Plan:
    """Return the plan of a fitted preprocessor. Raises TypeError for an unsupported one."""
    if not isinstance(preprocessor, ColumnTransformer):
        raise TypeError("the preprocessor is not a ColumnTransformer")
    if [name for name, _, _ in preprocessor.transformers_] != ["scaled", "binary", "one_hot"]:
        raise TypeError("the preprocessor has other steps than scaled, binary and one_hot")
    scaler, encoder = preprocessor.named_transformers_["scaled"], preprocessor.named_transformers_["one_hot"]
    ones = np.ones(len(BINARY))
    return Plan(
        affine=columns(SCALED) + columns(BINARY),
        mean=np.concatenate([scaler.mean_, 0 * ones]),
        scale=np.concatenate([scaler.scale_, ones]),
        lookup=columns(ONE_HOT),
        tables=tuple(_table(codes) for codes in encoder.codes),
    )


def _table(codes: list[int]) -> Matrix:
    table = np.zeros((TABLE_ROWS, len(codes)))
    for position, code in enumerate(codes):
        table[code, position] = 1.0
    table[MISSING_ROW] = np.nan
    return table
