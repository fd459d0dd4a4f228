"""Metrics of risks against outcomes, each with a 95% bootstrap interval over the patients.

A bootstrap sample is a row of weights, so that a metric is computed for all samples at once. This module needs numpy
alone. Sources: Van Calster et al., Performance evaluation of predictive AI models,
2025; Cox, Two further applications of a model for binary regression, 1958; Vickers and Elkin, Decision curve analysis,
2006.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.logistic import logistic
from training.arrays import Labels, Matrix, Risks
from training.estimates import MIN_PATIENTS, Estimate, bootstrap_estimate, wilson_interval, with_both_outcomes

_CERTAIN: Final = 1e-6
"""Clips the risks 0 and 1, which a forest may give: their log-odds are infinite."""
_NEWTON_STEPS: Final = 30


class Performance(msgspec.Struct, frozen=True):
    """The performance of one model on some patients.

    `figures` omits metrics that too few patients support, and undefined ones, such as the precision where nobody is
    labelled 1. It is empty where nothing can be estimated.

    Labels: accuracy, precision, recall (sensitivity), specificity, f1. Discrimination: roc_auc. Risks: brier, log_loss.
    Calibration: slope (1 is ideal; below 1 risks are too extreme, above 1 too moderate), intercept at slope 1 (0 is
    ideal; above 0 risks are too low), bias (mean risk minus prevalence). There is no expected calibration error: with
    some 300 patients it is 0.05 for perfect risks, and larger in each bootstrap sample, so no interval covers it.
    """

    patients: int
    events: int
    figures: dict[str, Estimate]


def performance(labels: Labels, risks: Matrix, threshold: float, weights: Matrix) -> Performance:
    """Measure risks (patients,), or (runs, patients) of several cross-validations, whose metrics are averaged.

    Returns no metrics for fewer than `MIN_PATIENTS` patients of either outcome.
    """
    events = int(labels.sum())
    if min(events, len(labels) - events) < MIN_PATIENTS:
        return Performance(len(labels), events, {})
    return _performance(labels, risks, threshold, weights)


def hospital_performance(labels: Labels, risks: Matrix, threshold: float, weights: Matrix) -> Performance:
    """Measure risks (patients,) of a hospital, whose prevalence may be extreme.

    Omits only the metrics that depend on an outcome with fewer than `MIN_PATIENTS` patients. Omits all if both outcomes
    are that rare, or if one is absent.
    """
    counts = (int((labels == 0).sum()), int((labels == 1).sum()))
    if max(counts) < MIN_PATIENTS or not min(counts):
        return Performance(len(labels), counts[1], {})
    found = _performance(labels, risks, threshold, with_both_outcomes(weights, labels))
    depends_on = {"recall": (1,), "specificity": (0,), "roc_auc": (0, 1), "slope": (0, 1)}
    supported = {
        name: figure
        for name, figure in found.figures.items()
        if all(counts[outcome] >= MIN_PATIENTS for outcome in depends_on.get(name, ()))
    }
    return msgspec.structs.replace(found, figures=supported)


def small_group_performance(labels: Labels, risks: Risks, threshold: float, weights: Matrix) -> Performance:
    """Measure risks (patients,) of a small group: sensitivity and specificity as counts, with Wilson's interval.

    A count is valid for any number of patients, and its interval shows the uncertainty. The bias, whose interval is
    bootstrapped, needs `MIN_PATIENTS` patients.
    """
    predicted, figures = risks >= threshold, {}
    for name, correct in (("recall", predicted[labels == 1]), ("specificity", ~predicted[labels == 0])):
        if len(correct):
            figures[name] = wilson_interval(int(correct.sum()), len(correct))
    if len(labels) >= MIN_PATIENTS:
        drawn = weights[weights.sum(axis=1) > 0]
        figures["bias"] = bootstrap_estimate(drawn @ (risks - labels) / drawn.sum(axis=1))
    return Performance(len(labels), int(labels.sum()), figures)


def _performance(labels: Labels, risks: Matrix, threshold: float, weights: Matrix) -> Performance:
    runs, events = np.atleast_2d(risks), int(labels.sum())
    measured = [_measured(labels, run, threshold, weights) for run in runs]
    figures = {name: np.mean([run[name] for run in measured], axis=0) for name in measured[0]}
    known = {name: bootstrap_estimate(values) for name, values in figures.items() if not np.isnan(values[0])}
    return Performance(len(labels), events, known)


def _measured(labels: Labels, risks: Risks, threshold: float, weights: Matrix) -> dict[str, Matrix]:
    """Return each metric for each row of weights."""
    total = weights.sum(axis=1)
    slope, intercept = calibration(labels, risks, weights)
    return {
        **_of_labels(labels, risks >= threshold, weights),
        "roc_auc": roc_auc(labels, risks, weights),
        "brier": weights @ np.square(risks - labels) / total,
        "log_loss": weights @ log_losses(labels, risks) / total,
        "slope": slope,
        "intercept": intercept,
        "bias": weights @ (risks - labels) / total,
    }


def _of_labels(labels: Labels, predicted: npt.NDArray[np.bool_], weights: Matrix) -> dict[str, Matrix]:
    true_pos, false_pos = weights @ (predicted & (labels == 1)), weights @ (predicted & (labels == 0))
    positives, negatives = weights @ (labels == 1), weights @ (labels == 0)
    predicted_or_positive, nan = positives + true_pos + false_pos, np.full(len(weights), np.nan)
    return {
        "accuracy": (true_pos + negatives - false_pos) / (positives + negatives),
        "precision": np.divide(true_pos, true_pos + false_pos, out=nan.copy(), where=true_pos + false_pos > 0),
        "recall": np.divide(true_pos, positives, out=nan.copy(), where=positives > 0),
        "specificity": np.divide(negatives - false_pos, negatives, out=nan.copy(), where=negatives > 0),
        "f1": np.divide(2 * true_pos, predicted_or_positive, out=nan.copy(), where=predicted_or_positive > 0),
    }


def log_losses(labels: Labels, risks: Risks) -> Risks:
    """Return each patient's log loss."""
    kept = np.clip(risks, _CERTAIN, 1 - _CERTAIN)
    each: Risks = -np.where(labels == 1, np.log(kept), np.log(1 - kept))
    return each


def roc_auc(labels: Labels, risks: Risks, weights: Matrix) -> Matrix:
    """Return the ROC-AUC for each row of weights; ties count half."""
    order = np.argsort(risks, kind="stable")
    _, starts = np.unique(risks[order], return_index=True)
    positives, negatives = (
        np.add.reduceat((weights * (labels == outcome))[:, order], starts, axis=1) for outcome in (1, 0)
    )
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    area: Matrix = np.divide((positives * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return area


def calibration(labels: Labels, risks: Risks, weights: Matrix) -> tuple[Matrix, Matrix]:
    """Return the calibration slope (Cox), and the intercept at slope 1, for each row of weights."""
    return calibration_line(labels, risks, weights)[:, 1], intercept_shift(labels, risks, weights)


def calibration_line(labels: Labels, risks: Risks, weights: Matrix) -> Matrix:
    """Return intercept and slope (rows, 2) of the logistic recalibration of log-odds, for each row of weights."""
    design = np.column_stack([np.ones(len(risks)), log_odds(risks)])
    return _fit(design, np.zeros(len(risks)), labels, weights)


def log_odds(risks: Risks) -> Risks:
    """Return the log-odds of risks, clipped to stay finite."""
    kept = np.clip(risks, _CERTAIN, 1 - _CERTAIN)
    odds: Risks = np.log(kept / (1 - kept))
    return odds


def intercept_shift(labels: Labels, risks: Risks, weights: Matrix) -> Matrix:
    """Return the shift of all log-odds that makes the mean risk the prevalence, for each row of weights."""
    added: Matrix = _fit(np.ones((len(risks), 1)), log_odds(risks), labels, weights)[:, 0]
    return added


def _fit(design: Matrix, offset: Matrix, labels: Labels, weights: Matrix) -> Matrix:
    """Fit an unpenalised logistic regression for each row of weights, by Newton's method with bounded steps."""
    found = np.zeros((len(weights), design.shape[1]))
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    for _ in range(_NEWTON_STEPS):
        risks = logistic(found @ design.T + offset)
        slope = ((risks - labels) * weights) @ design
        curve = ((risks * (1 - risks) * weights) @ products).reshape(len(weights), design.shape[1], -1)
        curve += 1e-9 * np.eye(design.shape[1])
        step = np.asarray(np.linalg.solve(curve, slope[:, :, None]), dtype=np.float64)[:, :, 0]
        found -= step / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1.0)
        if np.abs(step).max() < _CERTAIN:
            break
    return found


def net_benefit(labels: Labels, risks: Risks, threshold: float) -> float:
    """Return the share of true positives minus that of false ones weighted by the odds of the threshold."""
    predicted = risks >= threshold
    true, false = float(np.mean(predicted & (labels == 1))), float(np.mean(predicted & (labels == 0)))
    return true - false * threshold / (1 - threshold)


def prevalence_brier(labels: Labels) -> float:
    """Return the Brier score of predicting the prevalence for everybody."""
    prevalence = float(labels.mean())
    return prevalence * (1 - prevalence)
