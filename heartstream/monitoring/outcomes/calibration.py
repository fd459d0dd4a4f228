"""How good risks were, by known outcomes: all of them, and the last; and whether a shift of all risks would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from heartstream.monitoring.outcomes.join import Joined, LeftOut, Pair
from schemas.records import ModelRef
from training.arrays import Risks
from training.estimates import FEWEST, Estimate, wilson
from training.evaluation.metrics import calibration, prevalence_brier, roc_auc
from training.evaluation.recalibration import Proposal, propose, shift_interval

ENOUGH: Final = 50
"""Fewer outcomes cannot tell which of two models is better."""
ENOUGH_FOR_SLOPE: Final = 100

Labels = npt.NDArray[np.int64]


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
        model, window, figures(labels, risks), figures(labels[-window:], risks[-window:]), propose(labels, risks)
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
        intercept=shift_interval(labels, risks),
        slope=float(calibration(labels, risks, everybody)[0][0]) if told else None,
        roc_auc=float(roc_auc(labels, risks, everybody)[0]) if fewer >= FEWEST else None,
    )


def _over(share: Estimate, expected: float) -> Estimate:
    return Estimate(share.value / expected, share.low / expected, share.high / expected)


def _brier(labels: Labels, risks: Risks) -> float:
    return float(np.square(risks - labels).mean())
