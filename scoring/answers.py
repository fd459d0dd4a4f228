"""What training recorded of the reference cases beside their risks, and the proof that scoring says the same.

Risks prove an engine. This proves what stands beside them: intervals, the limits of label sets, training ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from schemas.features import FEATURE_NAMES
from scoring.features import Matrix
from scoring.reference_cases import reference_cases
from scoring.uncertainty import Intervals, Lookup, Uncertainty, Vector, cells_of

_TOLERANCE: Final = 1e-6
"""Limits are computed from log-odds, whose last digits depend on the processor."""


class Answers(msgspec.Struct, frozen=True):
    """What is said of the 1,024 reference cases, or of the model where it cannot tell, None.

    `intervals` and `sampling_intervals` (1024, 2) are their limits as risks, `label_limits` (1024, 2) those that label
    sets go by (NaN where there are none), `out_of_range` (13,) how many records lie outside each training range.
    """

    intervals: Matrix | None
    sampling_intervals: Matrix | None
    label_limits: Matrix
    out_of_range: Matrix

    def differences(self, other: Answers) -> list[str]:
        """Name what differs from other answers."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return [name for name, one, another in pairs if not _are_same(one, another)]


def answers_of(log_odds: Vector | None, tables: Uncertainty, ranges: Mapping[str, tuple[float, float]]) -> Answers:
    """Return what is said of the reference cases, whose log-odds (1024,) are given where the model has any."""
    cases, lookup = reference_cases(), Lookup(tables)
    cells = cells_of(cases)
    lowest, highest = np.array([ranges[name] for name in FEATURE_NAMES]).T
    return Answers(
        intervals=None if log_odds is None else _pairs(lookup.intervals(log_odds, cells)),
        sampling_intervals=None if log_odds is None else _pairs(lookup.sampling_intervals(log_odds, cells)),
        label_limits=lookup.label_limits(cells),
        out_of_range=((cases < lowest) | (cases > highest)).sum(axis=0).astype(np.float64),
    )


def check_answers(recorded: Answers, found: Answers) -> None:
    """Raise ArtifactError where scoring does not say what training recorded."""
    if wrong := found.differences(recorded):
        raise ArtifactError(f"the model's {', '.join(wrong)} of reference cases are not those that training recorded")


def _pairs(intervals: Intervals | None) -> Matrix | None:
    return None if intervals is None else np.column_stack(intervals)


def _are_same(one: Matrix | None, another: Matrix | None) -> bool:
    if one is None or another is None:
        return one is another
    return one.shape == another.shape and bool(np.allclose(one, another, rtol=0, atol=_TOLERANCE, equal_nan=True))
