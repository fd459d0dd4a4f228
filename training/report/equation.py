"""A linear model as an equation, with which a reader can compute a risk by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from scoring.compiled_table import CompiledTable
from training.arrays import Matrix
from training.candidates import center_of, linear_of


class Equation(msgspec.Struct, frozen=True):
    """log-odds = `intercept` + sum of `slopes` times numeric fields + sum of the `codes` of coded fields.

    A coded field of 0 and 1 is numeric, one of two texts is not.

    The risk is 1 / (1 + exp(-log-odds)). `without` names the fields that this sub-model does not use.
    """

    without: tuple[str, ...]
    intercept: float
    slopes: dict[str, float]
    codes: dict[str, dict[str, float]]


def equation(
    preprocessor: Any, classifier: Any, compiled: CompiledTable, model: int, without: tuple[str, ...]
) -> Equation:
    """Return the equation of one of a linear classifier's models: 0, or the row of a missing pattern's sub-model."""
    intercepts, coefficients = linear_of(classifier)
    center = center_of(classifier)
    if center is None:
        raise TypeError("only a linear model has an equation")
    weights: Matrix = coefficients[model]
    scaler = preprocessor.named_transformers_["scaled"]
    table, columns = compiled.table, compiled.columns
    numeric = [table.names[j] for j in (*columns.scaled, *columns.binary)]
    scales, affine = len(columns.scaled), len(numeric)
    per_unit = np.concatenate([weights[:scales] / scaler.scale_, weights[scales:affine]])
    shift = (weights * center).sum() + (weights[:scales] * scaler.mean_ / scaler.scale_).sum()
    slopes = dict(zip(numeric, map(float, per_unit), strict=True))
    # The first of two texts is 0 in the matrix, the second 1.
    texts = [feature for j in columns.binary if (feature := table.features[j]).labels]
    codes = {each.name: {each.labels[0]: 0.0, each.labels[1]: slopes.pop(each.name)} for each in texts}
    column = affine
    for feature in (table.features[j] for j in columns.one_hot):
        codes[feature.name] = {str(sent): float(weights[column + j]) for j, sent in enumerate(feature.sent)}
        column += len(feature.codes)
    return Equation(
        without=without,
        intercept=float(intercepts[model] - shift),
        slopes={name: slope for name, slope in slopes.items() if name not in without},
        codes={name: values for name, values in codes.items() if name not in without},
    )
