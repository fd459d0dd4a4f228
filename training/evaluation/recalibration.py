"""Recalibration: whether to add the same number to the log-odds of all risks, how much, and what harm that does.

The maximum-likelihood shift makes the mean risk the observed share, and is proposed where it happens to be large: of
few outcomes that is mostly chance, and applying it makes risks worse (winner's curse). So a proposal goes only as far
as is certain: to the limit nearest 0 of the shift's 98% interval. `harm` measures what that does. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from scoring.logistic import logistic
from training.arrays import Risks
from training.estimates import NORMAL, Estimate, with_both
from training.evaluation.metrics import log_odds, losses, shift

if TYPE_CHECKING:
    # `heartstream outcomes` proposes where there is no pandas.
    from training.arrays import Labels, Matrix

ENOUGH: Final = 100
"""With 50 or 75 outcomes too many of the few proposals do harm; see decision 37."""
CERTAINTY: Final = 2.3263478740408408
"""Standard errors: a limit that chance passes, on its side, in 1 of 100 cases."""
HARM_SIZES: Final = (100, 150, 200, 300)
"""Outcomes in the simulation: from the fewest that carry a proposal on."""
HIGHEST_HARM: Final = 0.05
"""At most this share of proposals may make a hospital worse where a shift is needed; a test holds the rule to it."""
_DRAWS: Final = 2000


class Advice(StrEnum):
    """What a proposal comes to."""

    WAIT = "wait"
    """There are too few outcomes, or all are the same."""
    LEAVE = "leave"
    """The 98% interval of the shift has 0 in it."""
    RECALIBRATE = "recalibrate"
    """A shift is called for."""
    LOOK_CLOSER = "look_closer"
    """A shift is called for, and would not improve the Brier score of the very patients that call for it."""


class Proposal(msgspec.Struct, frozen=True):
    """Whether to shift all log-odds.

    `shift` is the maximum-likelihood estimate with its 95% interval, `standard_error` its error, `proposed` the part of
    it that is certain, 0 where none is. The Brier scores are those of the same patients before and after `proposed`.
    """

    advice: Advice
    shift: Estimate | None = None
    standard_error: float | None = None
    proposed: float | None = None
    brier_before: float | None = None
    brier_after: float | None = None


class Harm(msgspec.Struct, frozen=True):
    """What proposals do at one hospital: `outcomes` patients are drawn, and the shift is applied to all its patients.

    `proposed` is the share of draws with a proposal; `worse` the share of these after which the hospital's Brier score
    or log loss is worse (None where nothing was proposed); `largest_loss` the most that its Brier score gets worse, and
    `gain` the mean by which a proposal makes it better, against `possible`, what knowing the true shift would give.
    """

    hospital: str
    outcomes: int
    proposed: float
    worse: float | None
    largest_loss: float
    gain: float
    possible: float


class _Found(NamedTuple):
    """Of each row of weights: the estimated shift, its standard error, the part of it that is certain, Brier scores."""

    value: Matrix
    error: Matrix
    certain: Matrix
    before: Matrix
    after: Matrix


def propose(labels: Labels, risks: Risks) -> Proposal:
    """Say whether to shift risks (n,) of patients whose outcomes (n,) are known."""
    if len(labels) < ENOUGH or labels.min() == labels.max():
        return Proposal(Advice.WAIT)
    found = _found(labels, risks, np.ones((1, len(labels))))
    _, error, certain, before, after = (float(each[0]) for each in found)
    advice = Advice.LEAVE
    if certain:
        advice = Advice.RECALIBRATE if after < before else Advice.LOOK_CLOSER
    return Proposal(advice, shift_interval(labels, risks), error, certain, before, after)


def shift_interval(labels: Labels, risks: Risks) -> Estimate | None:
    """Return the shift with its 95% interval; None where all outcomes are the same: it would be infinite."""
    if labels.min() == labels.max():
        return None
    found = _found(labels, risks, np.ones((1, len(labels))))
    value, reach = float(found.value[0]), NORMAL * float(found.error[0])
    return Estimate(value, value - reach, value + reach)


def shifted(risks: Risks, by: float) -> Risks:
    """Add to the log-odds of risks."""
    moved: Risks = logistic(log_odds(risks) + by)
    return moved


def _found(labels: Labels, risks: Risks, weights: Matrix) -> _Found:
    """Apply the rule to each row of weights (rows, n).

    The error is the robust one (Huber, White): where risks are also too extreme, outcomes scatter more than risks say,
    and the curvature of the likelihood would be too sure.
    """
    odds, total = log_odds(risks), weights.sum(axis=1)
    value = shift(labels, risks, weights)
    moved = logistic(odds + value[:, None])
    error = np.sqrt((weights * np.square(labels - moved)).sum(axis=1)) / (weights * moved * (1 - moved)).sum(axis=1)
    certain = np.sign(value) * np.maximum(np.abs(value) - CERTAINTY * error, 0) + 0.0
    after = (weights * np.square(logistic(odds + certain[:, None]) - labels)).sum(axis=1) / total
    return _Found(value, error, certain, weights @ np.square(risks - labels) / total, after)


def harm(
    hospitals: Mapping[str, tuple[Labels, Risks]], seed: int, sizes: Sequence[int] = HARM_SIZES
) -> tuple[Harm, ...]:
    """Simulate proposals at each hospital: outcomes (n,) and risks (n,) of its patients. Takes a second or two.

    Outcomes are drawn with replacement: the hospital's patients stand for those who are still to come. Without it, a
    sample of a small hospital is the hospital, and can do it no harm.
    """
    return tuple(_harm(name, *of, seed, size) for name, of in hospitals.items() for size in sizes)


def _harm(hospital: str, labels: Labels, risks: Risks, seed: int, size: int) -> Harm:
    patients = len(labels)
    weights = np.random.default_rng(seed).multinomial(size, np.full(patients, 1 / patients), _DRAWS).astype(np.float64)
    found = _found(labels, risks, with_both(weights, labels))
    applied = found.certain[(found.certain != 0) & (found.after < found.before)]
    truth = shift(labels, risks, np.ones((1, patients)))
    gains, possible = _gains(labels, risks, applied), float(_gains(labels, risks, truth)[0, 0])
    any_at_all = len(applied) > 0
    return Harm(
        hospital,
        size,
        proposed=len(applied) / _DRAWS,
        worse=float((gains < 0).any(axis=1).mean()) if any_at_all else None,
        largest_loss=float(max(-gains[:, 0].min(), 0.0)) if any_at_all else 0.0,
        gain=float(gains[:, 0].mean()) if any_at_all else 0.0,
        possible=possible,
    )


def _gains(labels: Labels, risks: Risks, by: Matrix) -> Matrix:
    """Return by how much each shift improves the Brier score and the log loss of all patients, (shifts, 2)."""
    gains = []
    for each in by:
        moved = shifted(risks, float(each))
        gains.append(
            (
                np.square(risks - labels).mean() - np.square(moved - labels).mean(),
                losses(labels, risks).mean() - losses(labels, moved).mean(),
            )
        )
    return np.array(gains, dtype=np.float64).reshape(len(by), 2)
