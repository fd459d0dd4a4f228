"""Recalibration: whether to shift the log-odds of all risks, by how much, and the harm that such shifts do; their line.

The maximum-likelihood shift makes the mean risk equal the observed prevalence. Large estimates from few outcomes are
mostly chance, and applying them makes risks worse (winner's curse). So a proposal only goes to the limit of the shift's
98% interval that is nearest 0. `simulate_harm` measures the effect. This module needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from scoring.logistic import logistic
from training.arrays import Risks
from training.estimates import Z_95, Estimate, with_both_outcomes
from training.evaluation.metrics import calibration_line, intercept_shift, log_losses, log_odds

if TYPE_CHECKING:
    # `heartstream outcomes` proposes where there is no pandas.
    from training.arrays import Labels, Matrix

MIN_OUTCOMES: Final = 100
"""With 50 or 75 outcomes too many of the rare proposals do harm; see decision 37."""
CERTAINTY: Final = 2.3263478740408408
"""Standard errors of a one-sided 99% limit."""
HARM_SIZES: Final = (100, 150, 200, 300)
"""Numbers of outcomes in the simulation, from the minimum for a proposal."""
MAX_HARM: Final = 0.05
"""The largest share of proposals that may worsen the risks of a hospital that needs a shift, as tested."""
_DRAWS: Final = 2000


class Advice(StrEnum):
    """The advice of a proposal."""

    WAIT = "wait"
    """Too few outcomes, or all the same."""
    LEAVE = "leave"
    """The 98% interval of the shift includes 0."""
    RECALIBRATE = "recalibrate"
    """A shift is needed."""
    LOOK_CLOSER = "look_closer"
    """A shift is needed, but would not improve the Brier score of the same patients."""


class Proposal(msgspec.Struct, frozen=True):
    """Whether to shift all log-odds.

    `shift` is the maximum-likelihood estimate with its 95% interval, `proposed` the limit of its 98% interval that is
    nearest 0, or 0. The Brier scores are those of the same patients before and after `proposed`.
    """

    advice: Advice
    shift: Estimate | None = None
    standard_error: float | None = None
    proposed: float | None = None
    brier_before: float | None = None
    brier_after: float | None = None


class Harm(msgspec.Struct, frozen=True):
    """The effect of proposals at one hospital: `outcomes` patients are drawn, and the shift is applied to all patients.

    `proposed` is the share of draws with a proposal; `worse` the share of these that worsen the hospital's Brier score
    or log loss (None without a proposal). `largest_loss` is the largest worsening of the Brier score, `gain` its mean
    improvement by a proposal, and `possible` the improvement by the true shift.
    """

    hospital: str
    outcomes: int
    proposed: float
    worse: float | None
    largest_loss: float
    gain: float
    possible: float


class Line(msgspec.Struct, frozen=True):
    """What a recalibration makes of log-odds: `intercept` + `slope` * log-odds.

    `error` is the standard error of the result: of a slope, the largest for any of the patients that it was fitted on.
    """

    intercept: float
    slope: float = 1.0
    error: float = 0.0

    def risks(self, risks: Risks) -> Risks:
        """Return the recalibrated risks."""
        moved: Risks = logistic(self.intercept + self.slope * log_odds(risks))
        return moved


class _Shifts(NamedTuple):
    """By row of weights: the estimated shift, its standard error, its limit nearest 0, and Brier scores."""

    value: Matrix
    error: Matrix
    limit: Matrix
    before: Matrix
    after: Matrix


def propose_shift(labels: Labels, risks: Risks) -> Proposal:
    """Return whether to shift the risks (n,) of patients with known outcomes (n,), and by how much."""
    if len(labels) < MIN_OUTCOMES or labels.min() == labels.max():
        return Proposal(Advice.WAIT)
    found = _estimate_shifts(labels, risks, np.ones((1, len(labels))))
    _, error, limit, before, after = (float(each[0]) for each in found)
    advice = Advice.LEAVE
    if limit:
        advice = Advice.RECALIBRATE if after < before else Advice.LOOK_CLOSER
    return Proposal(advice, shift_interval(labels, risks), error, limit, before, after)


def shift_interval(labels: Labels, risks: Risks) -> Estimate | None:
    """Return the shift with its 95% interval; None if all outcomes are the same, where it is infinite."""
    if labels.min() == labels.max():
        return None
    found = _estimate_shifts(labels, risks, np.ones((1, len(labels))))
    value, reach = float(found.value[0]), Z_95 * float(found.error[0])
    return Estimate(value, value - reach, value + reach)


def shift_risks(risks: Risks, by: float) -> Risks:
    """Return the risks with their log-odds shifted."""
    return Line(by).risks(risks)


def certain_shift(labels: Labels, risks: Risks) -> Line:
    """Return the shift that is proposed, for any number of outcomes: 0 if its 98% interval includes 0."""
    found = _estimate_shifts(labels, risks, np.ones((1, len(labels))))
    return Line(float(found.limit[0]), error=float(found.error[0]))


def fit_line(labels: Labels, risks: Risks) -> Line:
    """Return the logistic recalibration of the risks (n,) by maximum likelihood. Its error is robust, as a shift's."""
    intercept, slope = (float(each) for each in calibration_line(labels, risks, np.ones((1, len(labels))))[0])
    design = np.column_stack([np.ones(len(risks)), log_odds(risks)])
    moved = Line(intercept, slope).risks(risks)
    bread = np.linalg.pinv((design.T * (moved * (1 - moved))) @ design)
    covariance = bread @ ((design.T * np.square(labels - moved)) @ design) @ bread
    variances = ((design @ covariance) * design).sum(axis=1)
    return Line(intercept, slope, float(np.sqrt(variances.max())))


def _estimate_shifts(labels: Labels, risks: Risks, weights: Matrix) -> _Shifts:
    """Estimate the shift for each row of weights (rows, n).

    Standard errors are robust (Huber, White): where risks are too extreme, the curvature of the likelihood would
    underestimate them.
    """
    odds, total = log_odds(risks), weights.sum(axis=1)
    value = intercept_shift(labels, risks, weights)
    moved = logistic(odds + value[:, None])
    error = np.sqrt((weights * np.square(labels - moved)).sum(axis=1)) / (weights * moved * (1 - moved)).sum(axis=1)
    limit = np.sign(value) * np.maximum(np.abs(value) - CERTAINTY * error, 0) + 0.0
    after = (weights * np.square(logistic(odds + limit[:, None]) - labels)).sum(axis=1) / total
    return _Shifts(value, error, limit, weights @ np.square(risks - labels) / total, after)


def simulate_harm(
    hospitals: Mapping[str, tuple[Labels, Risks]], seed: int, sizes: Sequence[int] = HARM_SIZES
) -> tuple[Harm, ...]:
    """Simulate proposals at each hospital from its patients' outcomes and risks (n,). Takes a second or two.

    Outcomes are drawn with replacement: the hospital's patients represent its future ones. Without replacement, a large
    sample of a small hospital would be the hospital itself, and do no harm.
    """
    return tuple(_harm(name, *of, seed, size) for name, of in hospitals.items() for size in sizes)


def _harm(hospital: str, labels: Labels, risks: Risks, seed: int, size: int) -> Harm:
    patients = len(labels)
    weights = np.random.default_rng(seed).multinomial(size, np.full(patients, 1 / patients), _DRAWS).astype(np.float64)
    found = _estimate_shifts(labels, risks, with_both_outcomes(weights, labels))
    applied = found.limit[(found.limit != 0) & (found.after < found.before)]
    truth = intercept_shift(labels, risks, np.ones((1, patients)))
    gains, possible = _gains(labels, risks, applied), float(_gains(labels, risks, truth)[0, 0])
    any_proposed = len(applied) > 0
    return Harm(
        hospital,
        size,
        proposed=len(applied) / _DRAWS,
        worse=float((gains < 0).any(axis=1).mean()) if any_proposed else None,
        largest_loss=float(max(-gains[:, 0].min(), 0.0)) if any_proposed else 0.0,
        gain=float(gains[:, 0].mean()) if any_proposed else 0.0,
        possible=possible,
    )


def _gains(labels: Labels, risks: Risks, by: Matrix) -> Matrix:
    """Return the improvement of Brier score and log loss of all patients by each shift, (shifts, 2)."""
    gains = []
    for each in by:
        moved = shift_risks(risks, float(each))
        gains.append(
            (
                np.square(risks - labels).mean() - np.square(moved - labels).mean(),
                log_losses(labels, risks).mean() - log_losses(labels, moved).mean(),
            )
        )
    return np.array(gains, dtype=np.float64).reshape(len(by), 2)
