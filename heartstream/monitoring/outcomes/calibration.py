"""Calibration and discrimination of risks by known outcomes, and whether a shift of all risks would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from heartstream.monitoring.outcomes.join import Joined, LeftOut, Pair
from schemas.records import ModelRef
from training.arrays import Risks
from training.estimates import MIN_PATIENTS, Estimate, wilson_interval
from training.evaluation.metrics import calibration, prevalence_brier, roc_auc
from training.evaluation.recalibration import Proposal, propose_shift, shift_interval

ENOUGH: Final = 50
"""Fewer outcomes cannot show which of two models is better."""
ENOUGH_FOR_SLOPE: Final = 100

Labels = npt.NDArray[np.int64]


class CalibrationMetrics(msgspec.Struct, frozen=True):
    """Metrics of risks with known outcomes; None if there are too few outcomes.

    `observed_expected` is the share with disease divided by the mean risk, with 95% limits. `intercept` is the shift of
    all log-odds that would make risks right on average, with 95% limits; `slope` is Cox's calibration slope, from 100
    outcomes on. `constant_brier` is the Brier score of predicting the prevalence for everybody. `roc_auc` needs 20 of
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


class ModelCalibration(msgspec.Struct, frozen=True):
    """The metrics of one model, for all outcomes and for the `last` ones, at most `window`."""

    model: ModelRef
    window: int
    all: CalibrationMetrics
    last: CalibrationMetrics
    proposal: Proposal


class OutcomesReport(msgspec.Struct, frozen=True):
    """The metrics of every model, most outcomes first, and the excluded outcomes."""

    models: tuple[ModelCalibration, ...]
    left_out: LeftOut


def evaluate_models(joined: Joined, window: int) -> OutcomesReport:
    """Evaluate each model by its own outcomes."""
    found = [_model_calibration(model, pairs, window) for model, pairs in joined.pairs.items()]
    found.sort(key=lambda each: (-each.all.outcomes, each.model.digest))
    return OutcomesReport(tuple(found), joined.left_out)


def _model_calibration(model: ModelRef, pairs: Sequence[Pair], window: int) -> ModelCalibration:
    risks = np.array([pair.risk for pair in pairs])
    labels = np.array([pair.outcome for pair in pairs], dtype=np.int64)
    return ModelCalibration(
        model,
        window,
        calibration_metrics(labels, risks),
        calibration_metrics(labels[-window:], risks[-window:]),
        propose_shift(labels, risks),
    )


def calibration_metrics(labels: Labels, risks: Risks) -> CalibrationMetrics:
    """Compute the metrics of risks (n,) and labels (n,), at least one. Memory and time are linear in n."""
    events, outcomes, everybody = int(labels.sum()), len(labels), np.ones((1, len(labels)))
    mean_risk, share = float(risks.mean()), wilson_interval(events, outcomes)
    fewer = min(events, outcomes - events)
    enough = outcomes >= ENOUGH_FOR_SLOPE and fewer >= MIN_PATIENTS
    return CalibrationMetrics(
        outcomes=outcomes,
        events=events,
        mean_risk=mean_risk,
        observed_expected=_over(share, mean_risk) if mean_risk > 0 else None,
        brier=_brier(labels, risks),
        constant_brier=prevalence_brier(labels),
        intercept=shift_interval(labels, risks),
        slope=float(calibration(labels, risks, everybody)[0][0]) if enough else None,
        roc_auc=float(roc_auc(labels, risks, everybody)[0]) if fewer >= MIN_PATIENTS else None,
    )


def _over(share: Estimate, expected: float) -> Estimate:
    return Estimate(share.value / expected, share.low / expected, share.high / expected)


def _brier(labels: Labels, risks: Risks) -> float:
    return float(np.square(risks - labels).mean())
