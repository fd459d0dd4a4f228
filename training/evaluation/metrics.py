"""How good risks are, each figure with what chance alone could have made of it.

A figure's interval holds 95% of what it is over bootstrap samples of the patients. A sample is a row of weights, so
that all samples are measured at once. Sources: Van Calster et al., Performance evaluation of predictive AI models,
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
from training.estimates import FEWEST, Estimate, estimate, wilson, with_both

_CERTAIN: Final = 1e-6
"""A forest may say 0 or 1, whose log-odds are infinite."""
_NEWTON_STEPS: Final = 30


class Performance(msgspec.Struct, frozen=True):
    """How one model did on some patients.

    `figures` lacks what too few patients tell of, and what is not defined, as the precision is where nobody is labelled
    1; it is empty where nothing can be said.

    Of labels: accuracy, precision, recall (sensitivity), specificity, f1. Of ranks: roc_auc. Of risks: brier, log_loss.
    Of calibration: slope (1 is right, below 1 too extreme, above too timid), intercept (0 is right, above 0 risks are
    too low; slope held at 1), bias (mean risk less prevalence). There is no expected calibration error: over some
    300 patients it is 0.05 for risks that are right, and more in each bootstrap sample, so no interval fits it.
    """

    patients: int
    events: int
    figures: dict[str, Estimate]


def performance(labels: Labels, risks: Matrix, threshold: float, weights: Matrix) -> Performance:
    """Measure risks (patients,) or, of several cross-validations, (runs, patients); figures are the runs' means.

    There are none with fewer than `FEWEST` patients of either outcome.
    """
    events = int(labels.sum())
    if min(events, len(labels) - events) < FEWEST:
        return Performance(len(labels), events, {})
    return _performance(labels, risks, threshold, weights)


def performance_elsewhere(labels: Labels, risks: Matrix, threshold: float, weights: Matrix) -> Performance:
    """Measure risks (patients,) of a hospital, whose prevalence may be extreme.

    Left out are only the figures that rest on an outcome which fewer than `FEWEST` patients have; all, if that is so of
    both, or if nobody has one of them.
    """
    counts = (int((labels == 0).sum()), int((labels == 1).sum()))
    if max(counts) < FEWEST or not min(counts):
        return Performance(len(labels), counts[1], {})
    found = _performance(labels, risks, threshold, with_both(weights, labels))
    rests_on = {"recall": (1,), "specificity": (0,), "roc_auc": (0, 1), "slope": (0, 1)}
    told = {
        name: figure
        for name, figure in found.figures.items()
        if all(counts[outcome] >= FEWEST for outcome in rests_on.get(name, ()))
    }
    return msgspec.structs.replace(found, figures=told)


def counted(labels: Labels, risks: Risks, threshold: float, weights: Matrix) -> Performance:
    """Measure risks (patients,) of a small group: sensitivity and specificity are counts, with Wilson's interval.

    However few the patients, a count of them is true and its interval says how little it proves. The bias, whose
    interval comes from bootstrap samples, is given from `FEWEST` patients on.
    """
    said, figures = risks >= threshold, {}
    for name, right in (("recall", said[labels == 1]), ("specificity", ~said[labels == 0])):
        if len(right):
            figures[name] = wilson(int(right.sum()), len(right))
    if len(labels) >= FEWEST:
        drawn = weights[weights.sum(axis=1) > 0]
        figures["bias"] = estimate(drawn @ (risks - labels) / drawn.sum(axis=1))
    return Performance(len(labels), int(labels.sum()), figures)


def _performance(labels: Labels, risks: Matrix, threshold: float, weights: Matrix) -> Performance:
    runs, events = np.atleast_2d(risks), int(labels.sum())
    measured = [_measured(labels, run, threshold, weights) for run in runs]
    figures = {name: np.mean([run[name] for run in measured], axis=0) for name in measured[0]}
    known = {name: estimate(values) for name, values in figures.items() if not np.isnan(values[0])}
    return Performance(len(labels), events, known)


def _measured(labels: Labels, risks: Risks, threshold: float, weights: Matrix) -> dict[str, Matrix]:
    """Return each figure for each row of weights."""
    total = weights.sum(axis=1)
    slope, intercept = calibration(labels, risks, weights)
    return {
        **_of_labels(labels, risks >= threshold, weights),
        "roc_auc": roc_auc(labels, risks, weights),
        "brier": weights @ np.square(risks - labels) / total,
        "log_loss": weights @ losses(labels, risks) / total,
        "slope": slope,
        "intercept": intercept,
        "bias": weights @ (risks - labels) / total,
    }


def _of_labels(labels: Labels, said: npt.NDArray[np.bool_], weights: Matrix) -> dict[str, Matrix]:
    found, alarms = weights @ (said & (labels == 1)), weights @ (said & (labels == 0))
    ill, healthy = weights @ (labels == 1), weights @ (labels == 0)
    nan = np.full(len(weights), np.nan)
    return {
        "accuracy": (found + healthy - alarms) / (ill + healthy),
        "precision": np.divide(found, found + alarms, out=nan.copy(), where=found + alarms > 0),
        "recall": np.divide(found, ill, out=nan.copy(), where=ill > 0),
        "specificity": np.divide(healthy - alarms, healthy, out=nan.copy(), where=healthy > 0),
        "f1": np.divide(2 * found, ill + found + alarms, out=nan.copy(), where=ill + found + alarms > 0),
    }


def losses(labels: Labels, risks: Risks) -> Risks:
    """Return each patient's log loss."""
    kept = np.clip(risks, _CERTAIN, 1 - _CERTAIN)
    each: Risks = -np.where(labels == 1, np.log(kept), np.log(1 - kept))
    return each


def roc_auc(labels: Labels, risks: Risks, weights: Matrix) -> Matrix:
    """Return the chance that a patient with disease has the higher risk, for each row of weights; ties count half."""
    order = np.argsort(risks, kind="stable")
    _, starts = np.unique(risks[order], return_index=True)
    ill, healthy = (np.add.reduceat((weights * (labels == outcome))[:, order], starts, axis=1) for outcome in (1, 0))
    below = np.cumsum(healthy, axis=1) - healthy / 2
    pairs = ill.sum(axis=1) * healthy.sum(axis=1)
    area: Matrix = np.divide((ill * below).sum(axis=1), pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return area


def calibration(labels: Labels, risks: Risks, weights: Matrix) -> tuple[Matrix, Matrix]:
    """Return the calibration slope (Cox), and the intercept at slope 1, for each row of weights."""
    line = _fit(np.column_stack([np.ones(len(risks)), log_odds(risks)]), np.zeros(len(risks)), labels, weights)
    return line[:, 1], shift(labels, risks, weights)


def log_odds(risks: Risks) -> Risks:
    """Return the log-odds of risks; those of 0 and 1 stay finite."""
    kept = np.clip(risks, _CERTAIN, 1 - _CERTAIN)
    odds: Risks = np.log(kept / (1 - kept))
    return odds


def shift(labels: Labels, risks: Risks, weights: Matrix) -> Matrix:
    """Return what must be added to all log-odds so that the mean risk is the share with disease, for each row."""
    added: Matrix = _fit(np.ones((len(risks), 1)), log_odds(risks), labels, weights)[:, 0]
    return added


def _fit(design: Matrix, offset: Matrix, labels: Labels, weights: Matrix) -> Matrix:
    """Fit a logistic regression without penalty for each row of weights, by Newton's method in bounded steps."""
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
    """Return the share of true positives less the false ones at the odds of the threshold."""
    said = risks >= threshold
    true, false = float(np.mean(said & (labels == 1))), float(np.mean(said & (labels == 0)))
    return true - false * threshold / (1 - threshold)


def prevalence_brier(labels: Labels) -> float:
    """Return the Brier score of always saying the prevalence."""
    share = float(labels.mean())
    return share * (1 - share)
