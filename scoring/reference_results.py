"""Check that scoring reproduces what training recorded of the reference cases, in addition to their risks.

Risks verify an engine. This verifies the rest of a score: intervals, the limits of label sets, training ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.features import Matrix
from scoring.uncertainty import Intervals, Lookup, Uncertainty, Vector

_TOLERANCE: Final = 1e-6
"""Limits are computed from log-odds, whose last digits depend on the CPU."""


class ReferenceResults(msgspec.Struct, frozen=True):
    """Results for the 1,024 reference cases, in addition to their risks.

    `intervals` and `sampling_intervals` (1024, 2) are limits of risks, None if the model has none; `label_limits`
    (1024, 2) are the limits of label sets (NaN where there are none), `out_of_range` (fields,) the number of records
    outside each training range.
    """

    intervals: Matrix | None
    sampling_intervals: Matrix | None
    label_limits: Matrix
    out_of_range: Matrix

    def differences(self, other: ReferenceResults) -> list[str]:
        """Return the names of the fields that differ."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return [name for name, one, another in pairs if not _are_same(one, another)]


def reference_results(
    log_odds: Vector | None, tables: Uncertainty, ranges: Mapping[str, tuple[float, float]], compiled: CompiledTable
) -> ReferenceResults:
    """Compute the results for the reference cases from their log-odds (1024,), None if the model has none."""
    cases, lookup = compiled.reference_cases, Lookup(tables, compiled)
    cells = compiled.cells_of(cases)
    lowest, highest = np.array([ranges[name] for name in compiled.table.names]).T
    return ReferenceResults(
        intervals=None if log_odds is None else _pairs(lookup.intervals(log_odds, cells)),
        sampling_intervals=None if log_odds is None else _pairs(lookup.sampling_intervals(log_odds, cells)),
        label_limits=lookup.label_limits(cells),
        out_of_range=((cases < lowest) | (cases > highest)).sum(axis=0).astype(np.float64),
    )


def check_reference_results(recorded: ReferenceResults, found: ReferenceResults) -> None:
    """Raise ArtifactError if scoring does not reproduce the recorded results."""
    if wrong := found.differences(recorded):
        raise ArtifactError(f"{', '.join(wrong)} of the reference cases differ from those recorded in training")


def _pairs(intervals: Intervals | None) -> Matrix | None:
    return None if intervals is None else np.column_stack(intervals)


def _are_same(one: Matrix | None, another: Matrix | None) -> bool:
    if one is None or another is None:
        return one is another
    return one.shape == another.shape and bool(np.allclose(one, another, rtol=0, atol=_TOLERANCE, equal_nan=True))
