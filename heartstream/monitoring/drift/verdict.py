"""Evaluates drift by the limits of the alert rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from schemas.records import ModelRef
from scoring.drift import Drift

PSI_MODERATE: Final = 0.1
PSI_LARGE: Final = 0.25
MAX_MISSING_CHANGE: Final = 0.2
MAX_OUT_OF_RANGE: Final = 0.05
"""Above these, an alert fires (compose/prometheus/alerts.yaml)."""


class Verdict(msgspec.Struct, frozen=True):
    """Drift, the fields that exceed a limit, and whether the risks (`scores`) do. Too few records exceed none."""

    model: ModelRef
    drift: Drift
    fields: tuple[str, ...]
    scores: bool

    @classmethod
    def of(cls, model: ModelRef, drift: Drift) -> Verdict:
        """Compare each value with its limit."""
        fields = tuple(name for name in drift.psi if any(exceeded_limits(drift, name)))
        return cls(model, drift, fields, (drift.score_psi or 0) > PSI_LARGE)

    @property
    def drifts(self) -> bool:
        """Whether anything exceeds its limit."""
        return bool(self.fields) or self.scores


def exceeded_limits(drift: Drift, name: str) -> Iterator[str]:
    """Yield the limits that a field exceeds."""
    if (drift.psi[name] or 0) > PSI_LARGE:
        yield "different values"
    if (drift.missing[name] or 0) > MAX_MISSING_CHANGE:
        yield "missing more often"
    if (drift.missing[name] or 0) < -MAX_MISSING_CHANGE:
        yield "missing less often"
    if (drift.out_of_range[name] or 0) > MAX_OUT_OF_RANGE:
        yield "outside the training range"


def psi_level(psi: float | None) -> str:
    """Return the usual level of a PSI."""
    if psi is None:
        return "too few"
    if psi > PSI_LARGE:
        return "large"
    return "moderate" if psi > PSI_MODERATE else "small"


def number(value: float | None) -> str:
    """Format a PSI; a missing one is a dash."""
    return "-" if value is None else f"{value:.2f}"


def percent(share: float | None, sign: str = "") -> str:
    """Format a share, or with sign "+" a difference of shares, in whole percent; a missing one is a dash."""
    return "-" if share is None else f"{round(100 * share) + 0:{sign}d} %"
