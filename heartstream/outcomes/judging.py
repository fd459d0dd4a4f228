"""How good risks were, by known outcomes: all of them, and the last; and whether a shift of all risks would help.

The proposal moves the log-odds of every risk by the same amount, by maximum likelihood: the recalibration that the
fewest outcomes can carry. It is never applied by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from heartstream.outcomes.join import Joined, LeftOut, Pair
from schemas.records import ModelRef
from scoring.logistic import logistic
from training.measures import (
    FEWEST,
    NORMAL,
    Estimate,
    Risks,
    calibration,
    log_odds,
    prevalence_brier,
    roc_auc,
    shift,
    wilson,
)

ENOUGH: Final = 50
"""So many outcomes carry a shift; fewer would move risks by chance."""
ENOUGH_FOR_SLOPE: Final = 100
_FOLDS: Final = 10

Labels = npt.NDArray[np.int64]


class Advice(StrEnum):
    """What a proposal comes to."""

    WAIT = "wait"
    """There are too few outcomes, or all are the same."""
    LEAVE = "leave"
    """The interval of the shift has 0 in it."""
    RECALIBRATE = "recalibrate"
    """A shift is called for, and outcomes that it was not fitted to agree."""
    LOOK_CLOSER = "look_closer"
    """A shift is called for, and would not have made risks better."""


class Figures(msgspec.Struct, frozen=True):
    """How some outcomes compare with their risks; None where they cannot tell.

    `observed_expected` is the share with disease against the mean risk, with 95% limits. `intercept` is what would have
    to be added to all log-odds, 0 where risks are right on average, with 95% limits; `slope` is Cox's, from 100
    outcomes on. `constant_brier` is the Brier score of saying the same share of everybody. `roc_auc` needs 20 of
    either outcome.
    """

    outcomes: int
    events: int
    mean_risk: float
    observed_expected: Estimate | None
    brier: float
    constant_brier: float
    intercept: Estimate | None
    slope: float | None
    roc_auc: float | None


class Proposal(msgspec.Struct, frozen=True):
    """A shift of all log-odds. The Brier score after it is cross-validated: each fold's shift is fitted without it."""

    advice: Advice
    shift: Estimate | None = None
    brier_before: float | None = None
    brier_after: float | None = None


class Judgement(msgspec.Struct, frozen=True):
    """What outcomes say of one model. `last` are the figures of the last outcomes, `window` at most."""

    model: ModelRef
    window: int
    all: Figures
    last: Figures
    proposal: Proposal


class Findings(msgspec.Struct, frozen=True):
    """What outcomes say of every model, the one with most outcomes first, and what was left out."""

    models: tuple[Judgement, ...]
    left_out: LeftOut


def judge(joined: Joined, window: int) -> Findings:
    """Judge each model by its own outcomes."""
    found = [_judgement(model, pairs, window) for model, pairs in joined.pairs.items()]
    found.sort(key=lambda each: (-each.all.outcomes, each.model.digest))
    return Findings(tuple(found), joined.left_out)


def _judgement(model: ModelRef, pairs: Sequence[Pair], window: int) -> Judgement:
    risks = np.array([pair.risk for pair in pairs])
    labels = np.array([pair.outcome for pair in pairs], dtype=np.int64)
    return Judgement(
        model, window, figures(labels, risks), figures(labels[-window:], risks[-window:]), proposal(labels, risks)
    )


def figures(labels: Labels, risks: Risks) -> Figures:
    """Measure risks (n,) by what was found (n,), one outcome at least. Memory and time grow with n alone."""
    events, outcomes, everybody = int(labels.sum()), len(labels), np.ones((1, len(labels)))
    mean_risk, share = float(risks.mean()), wilson(events, outcomes)
    fewer = min(events, outcomes - events)
    told = outcomes >= ENOUGH_FOR_SLOPE and fewer >= FEWEST
    return Figures(
        outcomes=outcomes,
        events=events,
        mean_risk=mean_risk,
        observed_expected=_over(share, mean_risk) if mean_risk > 0 else None,
        brier=_brier(labels, risks),
        constant_brier=prevalence_brier(labels),
        intercept=_shift(labels, risks),
        slope=float(calibration(labels, risks, everybody)[0][0]) if told else None,
        roc_auc=float(roc_auc(labels, risks, everybody)[0]) if fewer >= FEWEST else None,
    )


def proposal(labels: Labels, risks: Risks) -> Proposal:
    """Say whether a shift would help."""
    found = _shift(labels, risks)
    if len(labels) < ENOUGH or found is None:
        return Proposal(Advice.WAIT)
    before, after = _brier(labels, risks), _brier(labels, _recalibrated(labels, risks))
    if found.low <= 0 <= found.high:
        advice = Advice.LEAVE
    else:
        advice = Advice.RECALIBRATE if after < before else Advice.LOOK_CLOSER
    return Proposal(advice, found, before, after)


def shifted(risks: Risks, by: float) -> Risks:
    """Add to the log-odds of risks."""
    moved: Risks = logistic(log_odds(risks) + by)
    return moved


def _recalibrated(labels: Labels, risks: Risks) -> Risks:
    """Shift each fold's risks by what the others ask for."""
    fold = np.arange(len(labels)) % _FOLDS
    apart = (np.arange(_FOLDS)[:, None] != fold).astype(np.float64)
    by = shift(labels, risks, apart)
    moved: Risks = logistic(log_odds(risks) + by[fold])
    return moved


def _shift(labels: Labels, risks: Risks) -> Estimate | None:
    """Return the shift with its 95% interval (Wald); None where all outcomes are the same: it would be infinite."""
    if labels.min() == labels.max():
        return None
    value = float(shift(labels, risks, np.ones((1, len(labels))))[0])
    moved = shifted(risks, value)
    reach = NORMAL / float(np.sqrt((moved * (1 - moved)).sum()))
    return Estimate(value, value - reach, value + reach)


def _over(share: Estimate, expected: float) -> Estimate:
    return Estimate(share.value / expected, share.low / expected, share.high / expected)


def _brier(labels: Labels, risks: Risks) -> float:
    return float(np.square(risks - labels).mean())
