"""What a difference amounts to, by the limits of the alert rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from schemas.features import FEATURE_NAMES
from schemas.records import ModelRef
from scoring.drift import Drift

PSI_LITTLE: Final = 0.1
PSI_MUCH: Final = 0.25
MISSING_MUCH: Final = 0.2
OUT_OF_RANGE_MUCH: Final = 0.05
"""Above these, an alert fires (compose/prometheus/alerts.yaml)."""


class Verdict(msgspec.Struct, frozen=True):
    """What was found, and which fields drift; `scores` says whether the risks do. Nothing is told of few records."""

    model: ModelRef
    drift: Drift
    fields: tuple[str, ...]
    scores: bool

    @classmethod
    def of(cls, model: ModelRef, drift: Drift) -> Verdict:
        """Hold each figure against its limit."""
        fields = tuple(name for name in FEATURE_NAMES if any(much_of(drift, name)))
        return cls(model, drift, fields, (drift.score_psi or 0) > PSI_MUCH)

    @property
    def drifts(self) -> bool:
        """Say whether anything does."""
        return bool(self.fields) or self.scores


def much_of(drift: Drift, name: str) -> Iterator[str]:
    """Yield in which ways a field differs much."""
    if (drift.psi[name] or 0) > PSI_MUCH:
        yield "other values"
    if (drift.missing[name] or 0) > MISSING_MUCH:
        yield "missing more often"
    if (drift.missing[name] or 0) < -MISSING_MUCH:
        yield "missing less often"
    if (drift.out_of_range[name] or 0) > OUT_OF_RANGE_MUCH:
        yield "beyond all training patients"


def word_for(psi: float | None) -> str:
    """Say in a word how much a PSI is."""
    if psi is None:
        return "not told"
    if psi > PSI_MUCH:
        return "much"
    return "some" if psi > PSI_LITTLE else "little"


def number(value: float | None) -> str:
    """Write a PSI; what is not told is a dash."""
    return "-" if value is None else f"{value:.2f}"


def percent(share: float | None, sign: str = "") -> str:
    """Write a share, or with "+" as sign a difference of shares, in whole percents; what is not told is a dash."""
    return "-" if share is None else f"{round(100 * share) + 0:{sign}d} %"
