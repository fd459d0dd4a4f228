"""Metrics of the HTTP gateway."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import counter, histogram

REQUESTS: Final = counter("heartstream_http_requests", "HTTP requests by route and status.", "route", "status")
CDS_CARDS: Final = counter("heartstream_cds_cards", "CDS Hooks cards in responses, by kind.", "kind")
CDS_FEEDBACK: Final = counter(
    "heartstream_cds_feedback",
    "Feedback on CDS Hooks cards, by outcome (accepted, overridden) and override reason: its code, other, or none.",
    "outcome",
    "reason",
)
REQUEST_SECONDS: Final = histogram(
    "heartstream_http_request_duration_seconds",
    "Time to answer an HTTP request.",
    (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2),
    "route",
)
