"""Curves of one model's risks: calibration bins, histogram, ROC, precision-recall, and decision thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from training.arrays import Labels, Matrix
from training.estimates import wilson_interval
from training.evaluation.metrics import net_benefit
from training.evaluation.results import CalibrationBin, Curve, ThresholdMetrics

_THRESHOLDS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BINS: Final = 10
_HISTOGRAM: Final = 20


def calibration_bins(labels: Labels, risks: Matrix) -> Iterator[CalibrationBin]:
    """Yield ten calibration bins: tenths of the patients by risk (n,)."""
    for members in np.array_split(np.argsort(risks, kind="stable"), _BINS):
        events = int(labels[members].sum())
        yield CalibrationBin(len(members), float(risks[members].mean()), wilson_interval(events, len(members)))


def risk_histogram(labels: Labels, risks: Matrix) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return counts of patients by risk, without disease and with it."""
    edges = np.linspace(0, 1, _HISTOGRAM + 1)
    without, having = (np.histogram(risks[labels == outcome], edges)[0].tolist() for outcome in (0, 1))
    return tuple(without), tuple(having)


def roc_points(labels: Labels, risks: Matrix) -> Curve:
    """Return the true positive rate (y) by the false positive rate (x)."""
    false_positive_rate, true_positive_rate, _ = roc_curve(labels, risks)
    return Curve(tuple(false_positive_rate.tolist()), tuple(true_positive_rate.tolist()))


def precision_recall_points(labels: Labels, risks: Matrix) -> Curve:
    """Return the precision (y) by the recall (x)."""
    precision, recall, _ = precision_recall_curve(labels, risks)
    return Curve(tuple(recall.tolist()), tuple(precision.tolist()))


def threshold_metrics(labels: Labels, risks: Matrix, threshold: float) -> Iterator[ThresholdMetrics]:
    """Yield the performance at a grid of thresholds and at the given one."""
    for at in sorted({*_THRESHOLDS, threshold}):
        yield _at_threshold(labels, risks, at)


def _at_threshold(labels: Labels, risks: Matrix, at: float) -> ThresholdMetrics:
    predicted, diseased = risks >= at, labels == 1
    prevalence = float(diseased.mean())
    return ThresholdMetrics(
        threshold=at,
        sensitivity=float(predicted[diseased].mean()),
        specificity=float((~predicted[~diseased]).mean()),
        positive_predictive_value=float(diseased[predicted].mean()) if predicted.any() else None,
        negative_predictive_value=float((~diseased[~predicted]).mean()) if not predicted.all() else None,
        net_benefit=net_benefit(labels, risks, at),
        net_benefit_of_treating_all=prevalence - (1 - prevalence) * at / (1 - at),
    )
