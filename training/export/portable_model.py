"""Exports a fitted model in the portable form of the fast engines, with reference results that verify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from sklearn.compose import ColumnTransformer

from scoring.compiled_table import CompiledTable
from scoring.engines import LinearEngine
from scoring.portable_model import Linear, PortableModel
from scoring.preprocessing import Plan, PreprocessedColumns
from scoring.reference_cases import sha256_of
from scoring.reference_results import reference_results
from scoring.uncertainty import Uncertainty
from training.arrays import Matrix
from training.candidates import center_of, feature_covariance_of, is_linear, linear_of


def new_portable_model(
    preprocessor: Any, classifier: Any, uncertainty: Uncertainty, compiled: CompiledTable
) -> PortableModel | None:
    """Return the portable form of a model, None for a classifier that no fast engine supports.

    Raises TypeError for an unsupported preprocessor.
    """
    center = center_of(classifier)
    if center is None:
        return None
    cases = compiled.reference_cases
    linear = Linear(*linear_of(classifier), feature_covariance_of(classifier)) if is_linear(classifier) else None
    return PortableModel(
        plan=plan_of(preprocessor, compiled.columns),
        center=center,
        linear=linear,
        uncertainty=uncertainty,
        reference_cases_sha256=sha256_of(cases),
        reference_risks=classifier.predict_proba(preprocessor.transform(cases))[:, 1],
    )


def with_answers(
    plain: PortableModel, ranges: Mapping[str, tuple[float, float]], compiled: CompiledTable
) -> PortableModel:
    """Return the model with its results for the reference cases added; `ranges` are the training ranges."""
    linear = plain.linear
    engine = None if linear is None else LinearEngine(plain.plan, plain.center, linear, compiled)
    log_odds = None if engine is None else engine.explain(compiled.reference_cases).log_odds
    results = reference_results(log_odds, plain.uncertainty, ranges, compiled)
    return msgspec.structs.replace(plain, reference_results=results)


def plan_of(preprocessor: Any, columns: PreprocessedColumns) -> Plan:
    """Return the plan of a fitted preprocessor. Raises TypeError for an unsupported one."""
    if not isinstance(preprocessor, ColumnTransformer):
        raise TypeError("the preprocessor is not a ColumnTransformer")
    if [name for name, _, _ in preprocessor.transformers_] != ["scaled", "binary", "one_hot"]:
        raise TypeError("the preprocessor has other steps than scaled, binary and one_hot")
    scaler, fields = preprocessor.named_transformers_["scaled"], len(columns.binary)
    rows = max((code for codes in columns.codes for code in codes), default=0) + 2
    return Plan(
        affine=columns.scaled + columns.binary,
        mean=np.concatenate([scaler.mean_ if columns.scaled else [], np.zeros(fields)]),
        scale=np.concatenate([scaler.scale_ if columns.scaled else [], np.ones(fields)]),
        lookup=columns.one_hot,
        tables=tuple(_table(codes, rows) for codes in columns.codes),
    )


def _table(codes: list[int], rows: int) -> Matrix:
    table = np.zeros((rows, len(codes)))
    for position, code in enumerate(codes):
        table[code, position] = 1.0
    table[-1] = np.nan
    return table
