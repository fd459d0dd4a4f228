"""How metrics are defined and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics

from runtime.metrics.spread_histogram import SpreadHistogram

M = TypeVar("M")


class MetricDescription(msgspec.Struct, frozen=True):
    """A metric as documented; `name` is the one in Prometheus."""

    metric: object
    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...]


DESCRIBED: Final[list[MetricDescription]] = []
"""All metrics, by component."""


def _described(metric: M, name: str, kind: str, meaning: str, labels: tuple[str, ...] = ()) -> M:
    DESCRIBED.append(MetricDescription(metric, name, kind, meaning, labels))
    return metric


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """Define a counter; `_total` is appended to its name."""
    return _described(Counter(name, meaning, labels), f"{name}_total", "counter", meaning, labels)


def counter_of(name: str, meaning: str, label: str, *values: str) -> Counter:
    """Define a counter by one label that starts at zero for each value: Prometheus sees no increase in a new series."""
    defined = counter(name, meaning, label)
    for value in values:
        defined.labels(value)
    return defined


def gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """Define a gauge."""
    return _described(Gauge(name, meaning, labels), name, "gauge", meaning, labels)


def histogram(name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
    """Define a histogram."""
    return _described(Histogram(name, meaning, labels, buckets=buckets), name, "histogram", meaning, labels)


def spread_histogram(name: str, meaning: str, buckets: Sequence[float]) -> SpreadHistogram:
    """Define a histogram that observes a batch in one call."""
    defined = SpreadHistogram(name, meaning, buckets)
    REGISTRY.register(defined)
    return _described(defined, name, "histogram", meaning)


# `_created` series double the number of lines, and nobody reads them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations


def show(gauge: Gauge, values: Mapping[str, float | None]) -> None:
    """Set a gauge by its only label; None removes the series."""
    for label, value in values.items():
        if value is None:
            gauge.remove(label)
        else:
            gauge.labels(label).set(value)
