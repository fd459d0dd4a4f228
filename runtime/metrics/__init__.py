"""All metrics, named by Prometheus' conventions: base units, `_total` for counters, few labels.

A label's values are a small, closed set: interfaces, outcomes, rejection codes, routes, assigned partitions. Metrics
are in the module of their component; its events (`runtime.events`) update them. Only this package imports
prometheus_client.
"""

from __future__ import annotations

from runtime.metrics import consumer, delivery, gateway, model, process, records, tracing
from runtime.metrics.definitions import DESCRIBED, MetricDescription, show
from runtime.metrics.exposition import Sample, read, render
from runtime.metrics.spread_histogram import SpreadHistogram

__all__ = [
    "DESCRIBED",
    "MetricDescription",
    "Sample",
    "SpreadHistogram",
    "consumer",
    "delivery",
    "gateway",
    "model",
    "process",
    "read",
    "records",
    "render",
    "show",
    "tracing",
]
