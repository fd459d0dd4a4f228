"""Panels of the overview, the gateway and all processes."""

from __future__ import annotations

from typing import Final

from compose.grafana.panels import RATE, WORKERS, Panel, quantiles, stat

_WITHOUT_CHALLENGERS: Final = 'unless on (instance) heartstream_process_info{role="shadow"}'
_WITH_ROLE: Final = "* on (instance) group_left (role) max by (instance, role) (heartstream_process_info)"

OVERVIEW: Final = (
    stat(
        "Processes",
        "Workers and gateways that are scraped.",
        "short",
        ((None, "red"), (1, "green")),
        ("count by (role) (heartstream_process_info)", "{{role}}"),
    ),
    stat(
        "Assigned partitions",
        "Partitions with an owner. The lag of a partition without an owner is not measured.",
        "short",
        ((None, "red"), (1, "green")),
        (f"sum(heartstream_assigned_partitions {WORKERS})", "partitions"),
    ),
    stat(
        "Records per second",
        "Records scored or rejected, by all interfaces.",
        "short",
        ((None, "blue"),),
        (f"sum(rate(heartstream_records_total{RATE}))", "records"),
    ),
    stat(
        "Oldest unprocessed record",
        "Age of the oldest record without a confirmed outcome. An alert fires if it stays above a minute.",
        "s",
        ((None, "green"), (10, "yellow"), (60, "red")),
        (f"max(heartstream_consumer_lag_seconds {WORKERS})", "age"),
    ),
    stat(
        "End to end, p99",
        "99 of 100 records have their confirmed outcome within this time of their Kafka timestamp. Objective: 1 s.",
        "s",
        ((None, "green"), (0.5, "yellow"), (1, "red")),
        (quantiles("heartstream_end_to_end_latency_seconds")[1][0], "p99"),
    ),
    stat(
        "Error budgets, last hour",
        "Burn rates of the service level objectives: 1 uses up a budget in 30 days. An alert pages at 14.4.",
        "short",
        ((None, "green"), (1, "yellow"), (14.4, "red")),
        ("heartstream:stream_slow:burn_rate1h", "stream slow"),
        ("heartstream:gateway_slow:burn_rate1h", "gateway slow"),
        ("heartstream:gateway_fails:burn_rate1h", "gateway fails"),
    ),
    Panel(
        "Firing alerts",
        "docs/runbook.md has a section for each. Empty if there is no problem.",
        "short",
        [('count by (alertname, severity) (ALERTS{alertname=~"Heartstream.*",alertstate="firing"})', "")],
        kind="table",
        width=8,
        height=5,
    ),
    Panel(
        "Served models",
        "Processes by model, without challengers. An alert fires if two digests are served for longer than a rollout.",
        "short",
        [
            (
                f"count by (name, version, digest, engine, core) (heartstream_model_info {_WITHOUT_CHALLENGERS})",
                "",
            )
        ],
        kind="table",
        width=8,
        height=5,
    ),
    Panel(
        "Model changes",
        "Models swapped in, refused, or withdrawn while on trial; and how many processes refuse the candidate now.",
        "short",
        [
            ("sum by (outcome) (increase(heartstream_model_changes_total[$__rate_interval]))", "{{outcome}}"),
            ("sum(heartstream_model_refused)", "refuse now"),
        ],
        height=5,
    ),
)

GATEWAY: Final = (
    Panel(
        "Requests per second by status",
        "499: the client disconnected. 503 of /health/ready: shutting down, or the model fails its self-check.",
        "short",
        [(f"sum by (status) (rate(heartstream_http_requests_total{RATE}))", "{{status}}")],
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
        "POST /predict latency",
        "Objective: 99 of 100 within 0.1 s.",
        "s",
        quantiles("heartstream_http_request_duration_seconds", '{route="/predict"}'),
        ((None, "green"), (0.1, "red")),
        width=6,
    ),
    Panel(
        "Rejection reasons per second over HTTP",
        "Validation issues of records sent over HTTP, by code. A record may have several.",
        "short",
        [(f'sum by (code) (rate(heartstream_record_errors_total{{interface="http"}}{RATE}))', "{{code}}")],
        width=6,
    ),
    Panel(
        "CDS Hooks cards per second",
        "Cards in patients' records: risks, open questions, and data that cannot be used. None if CDS Hooks are off.",
        "short",
        [(f"sum by (kind) (rate(heartstream_cds_cards_total{RATE}))", "{{kind}}")],
        width=12,
    ),
    Panel(
        "CDS Hooks feedback per second",
        "Cards that users accepted or overrode, by override reason.",
        "short",
        [(f"sum by (outcome, reason) (rate(heartstream_cds_feedback_total{RATE}))", "{{outcome}}: {{reason}}")],
        width=12,
    ),
)

PROCESSES: Final = (
    Panel(
        "CPU",
        "Share of one core.",
        "percentunit",
        [(f"rate(process_cpu_seconds_total{RATE}) {_WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
    Panel(
        "Memory",
        "Resident memory.",
        "bytes",
        [(f"process_resident_memory_bytes {_WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
    Panel(
        "Uptime",
        "A drop to zero is a restart.",
        "s",
        [(f"(time() - process_start_time_seconds) {_WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
    Panel(
        "Trace spans per second",
        "Spans that ended and were not sent are lost. All are 0 if tracing is off.",
        "short",
        [(f"sum by (outcome) (rate(heartstream_trace_spans_total{RATE}))", "{{outcome}}")],
        width=6,
    ),
)
