"""Panels of the golden signals: a column each for traffic, errors, latency and saturation.

First a number, then the stream, then the gateway.
"""

from __future__ import annotations

from typing import Final

from compose.grafana.panels import RATE, WITH_ROLE, WORKERS, Panel, quantiles, stat

_ALERT_SHARE: Final = 0.05
_REJECTED: Final = f'rate(heartstream_records_total{{outcome="rejected"}}{RATE})'
_ALL: Final = f"rate(heartstream_records_total{RATE})"

GOLDEN: Final = (
    stat(
        "Traffic",
        "Records scored or rejected per second, by all interfaces.",
        "short",
        ((None, "blue"),),
        (f"sum({_ALL})", "records"),
        width=6,
    ),
    stat(
        "Errors",
        "Share of records that were rejected. An alert fires if it stays above 5% in the stream.",
        "percentunit",
        ((None, "green"), (_ALERT_SHARE, "red")),
        (f"sum({_REJECTED}) / sum({_ALL})", "rejected"),
        width=6,
    ),
    stat(
        "Latency",
        "End to end, p99: 99 of 100 records have their confirmed outcome within this time of their Kafka timestamp. "
        "Objective: 1 s.",
        "s",
        ((None, "green"), (0.5, "yellow"), (1, "red")),
        (quantiles("heartstream_end_to_end_latency_seconds")[1][0], "p99"),
        width=6,
    ),
    stat(
        "Saturation",
        "Age of the oldest record without a confirmed outcome. An alert fires if it stays above a minute.",
        "s",
        ((None, "green"), (10, "yellow"), (60, "red")),
        (f"max(heartstream_consumer_lag_seconds {WORKERS})", "age"),
        width=6,
    ),
    Panel(
        "Records per second",
        "Records by interface and outcome.",
        "short",
        [(f"sum by (interface, outcome) (rate(heartstream_records_total{RATE}))", "{{interface}} {{outcome}}")],
        width=6,
    ),
    Panel(
        "Rejected records",
        "Share of records by interface: dead letters of the stream, errors over HTTP.",
        "percentunit",
        [(f"sum by (interface) ({_REJECTED}) / sum by (interface) ({_ALL})", "{{interface}}")],
        ((None, "green"), (_ALERT_SHARE, "red")),
        width=6,
    ),
    Panel(
        "End-to-end latency",
        "From a record's Kafka timestamp to its confirmed outcome. Objective: 99 of 100 within 1 s.",
        "s",
        quantiles("heartstream_end_to_end_latency_seconds"),
        ((None, "green"), (1, "red")),
        width=6,
    ),
    Panel(
        "Lag in seconds",
        "Age of a partition's oldest record without a confirmed outcome.",
        "s",
        [(f"max by (topic, partition) (heartstream_consumer_lag_seconds {WORKERS})", "{{topic}} {{partition}}")],
        ((None, "green"), (60, "red")),
        width=6,
    ),
    Panel(
        "Requests per second by route",
        "Every route of the gateway.",
        "short",
        [(f"sum by (route) (rate(heartstream_http_requests_total{RATE}))", "{{route}}")],
        width=6,
    ),
    Panel(
        "Requests per second by status",
        "499: the client disconnected. 503 of /health/ready: shutting down, or the model fails its self-check.",
        "short",
        [(f"sum by (status) (rate(heartstream_http_requests_total{RATE}))", "{{status}}")],
        width=6,
    ),
    Panel(
        "POST /predict latency",
        "Objective: 99 of 100 within 0.1 s.",
        "s",
        quantiles("heartstream_http_request_duration_seconds", '{route="/predict"}'),
        ((None, "green"), (0.1, "red")),
        width=6,
    ),
    Panel(
        "CPU",
        "Share of one core.",
        "percentunit",
        [(f"rate(process_cpu_seconds_total{RATE}) {WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
)
