"""The reference distributions of the training rows, with which drift is detected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from schemas.tables.feature_table import Feature, FeatureTable
from scoring.drift import Vector
from scoring.drift_reference import REFERENCE_SCHEMA, RISK_EDGES, FieldReference, Histogram, Reference
from training.arrays import Matrix, Risks

_BINS: Final = 10


def new_reference(matrix: Matrix, table: FeatureTable, risks: Mapping[str, Risks]) -> Reference:
    """Return histograms of the training rows (n, fields), and of each model's out-of-fold risks (n,), by name.

    In-sample risks are too extreme: compared with them, new patients would always seem to have drifted.
    """
    columns = zip(table.features, matrix.T, strict=True)
    return Reference(
        schema=REFERENCE_SCHEMA,
        rows=len(matrix),
        fields={feature.name: _field(feature, column) for feature, column in columns},
        risks={name: _histogram(each, RISK_EDGES) for name, each in risks.items()},
    )


def _field(feature: Feature, column: Vector) -> FieldReference:
    measured = column[~np.isnan(column)]
    return FieldReference(_histogram(measured, _edges(feature, measured)), missing=len(column) - len(measured))


def _edges(feature: Feature, measured: Vector) -> tuple[float, ...]:
    """Return bin edges: one bin for each code; deciles of a numeric field, fewer with many ties."""
    if feature.codes:
        return tuple(float(code) for code, _ in feature.codes[:-1])
    if not len(measured):
        return ()
    deciles = np.quantile(measured, np.arange(1, _BINS) / _BINS, method="inverted_cdf")
    return tuple(np.unique(deciles[deciles < measured.max()]).tolist())


def _histogram(values: Vector, edges: Sequence[float]) -> Histogram:
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return Histogram(tuple(edges), tuple(counts.tolist()))


def as_json(reference: Reference) -> bytes:
    """Return the reference as JSON, with sorted keys."""
    return msgspec.json.encode(reference, order="sorted") + b"\n"
