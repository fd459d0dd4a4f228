"""Curves of one model's risks: calibration bins, histogram, ROC, precision and recall, and decision thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from training.arrays import Labels, Matrix
from training.estimates import wilson
from training.evaluation.metrics import net_benefit
from training.evaluation.results import Bin, Curve, Threshold

_THRESHOLDS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BINS: Final = 10
_HISTOGRAM: Final = 20


def bins(labels: Labels, risks: Matrix) -> Iterator[Bin]:
    """Yield tenths of the patients, by risk (n,)."""
    for members in np.array_split(np.argsort(risks, kind="stable"), _BINS):
        events = int(labels[members].sum())
        yield Bin(len(members), float(risks[members].mean()), wilson(events, len(members)))


def histogram(labels: Labels, risks: Matrix) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count patients by risk, those without disease and those with it."""
    edges = np.linspace(0, 1, _HISTOGRAM + 1)
    healthy, ill = (np.histogram(risks[labels == outcome], edges)[0].tolist() for outcome in (0, 1))
    return tuple(healthy), tuple(ill)


def roc(labels: Labels, risks: Matrix) -> Curve:
    """Return the true positive rate (y) by the false positive rate (x)."""
    alarms, found, _ = roc_curve(labels, risks)
    return Curve(tuple(alarms.tolist()), tuple(found.tolist()))


def precision_recall(labels: Labels, risks: Matrix) -> Curve:
    """Return the precision (y) by the recall (x)."""
    precision, recall, _ = precision_recall_curve(labels, risks)
    return Curve(tuple(recall.tolist()), tuple(precision.tolist()))


def at_thresholds(labels: Labels, risks: Matrix, ours: float) -> Iterator[Threshold]:
    """Say what labels at other thresholds than ours, and at ours, would mean."""
    for at in sorted({*_THRESHOLDS, ours}):
        yield _at_threshold(labels, risks, at)


def _at_threshold(labels: Labels, risks: Matrix, at: float) -> Threshold:
    said, ill = risks >= at, labels == 1
    share = float(ill.mean())
    return Threshold(
        threshold=at,
        sensitivity=float(said[ill].mean()),
        specificity=float((~said[~ill]).mean()),
        positive_predictive_value=float(ill[said].mean()) if said.any() else None,
        negative_predictive_value=float((~ill[~said]).mean()) if not said.all() else None,
        net_benefit=net_benefit(labels, risks, at),
        net_benefit_of_treating_all=share - (1 - share) * at / (1 - at),
    )
