"""Metrics of trace export."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import counter_of

SPANS: Final = counter_of(
    "heartstream_trace_spans",
    "Trace spans: ended, sent to the collector, or failed to be sent. Spans that ended and were not sent are lost.",
    "outcome",
    "ended",
    "sent",
    "failed",
)
