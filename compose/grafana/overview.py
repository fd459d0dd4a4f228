"""Panels of alerts and models, the gateway and all processes."""

from __future__ import annotations

from typing import Final

from compose.grafana.panels import RATE, WITH_ROLE, WORKERS, Panel, stat

_WITHOUT_CHALLENGERS: Final = 'unless on (instance) heartstream_process_info{role="shadow"}'

ALERTS: Final = (
    Panel(
        "Firing alerts",
        "docs/runbook.md has a section for each. Empty if there is no problem.",
        "short",
        [('count by (alertname, severity) (ALERTS{alertname=~"Heartstream.*",alertstate="firing"})', "")],
        kind="table",
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
    stat(
        "Processes",
        "Workers and gateways that are scraped.",
        "short",
        ((None, "red"), (1, "green")),
        ("count by (role) (heartstream_process_info)", "{{role}}"),
        width=8,
    ),
    stat(
        "Assigned partitions",
        "Partitions with an owner. The lag of a partition without an owner is not measured.",
        "short",
        ((None, "red"), (1, "green")),
        (f"sum(heartstream_assigned_partitions {WORKERS})", "partitions"),
        width=8,
    ),
    stat(
        "Error budgets, last hour",
        "Burn rates of the service level objectives: 1 uses up a budget in 30 days. An alert pages at 14.4.",
        "short",
        ((None, "green"), (1, "yellow"), (14.4, "red")),
        ("heartstream:stream_slow:burn_rate1h", "stream slow"),
        ("heartstream:gateway_slow:burn_rate1h", "gateway slow"),
        ("heartstream:gateway_fails:burn_rate1h", "gateway fails"),
        width=8,
    ),
)

GATEWAY: Final = (
    Panel(
        "Rejection reasons per second over HTTP",
        "Validation issues of records sent over HTTP, by code. A record may have several.",
        "short",
        [(f'sum by (code) (rate(heartstream_record_errors_total{{interface="http"}}{RATE}))', "{{code}}")],
    ),
    Panel(
        "CDS Hooks cards per second",
        "Cards in patients' records: risks, open questions, and data that cannot be used. None if CDS Hooks are off.",
        "short",
        [(f"sum by (kind) (rate(heartstream_cds_cards_total{RATE}))", "{{kind}}")],
    ),
    Panel(
        "CDS Hooks feedback per second",
        "Cards that users accepted or overrode, by override reason.",
        "short",
        [(f"sum by (outcome, reason) (rate(heartstream_cds_feedback_total{RATE}))", "{{outcome}}: {{reason}}")],
    ),
)

PROCESSES: Final = (
    Panel(
        "Memory",
        "Resident memory.",
        "bytes",
        [(f"process_resident_memory_bytes {WITH_ROLE}", "{{role}} {{instance}}")],
    ),
    Panel(
        "Uptime",
        "A drop to zero is a restart.",
        "s",
        [(f"(time() - process_start_time_seconds) {WITH_ROLE}", "{{role}} {{instance}}")],
    ),
    Panel(
        "Trace spans per second",
        "Spans that ended and were not sent are lost. All are 0 if tracing is off.",
        "short",
        [(f"sum by (outcome) (rate(heartstream_trace_spans_total{RATE}))", "{{outcome}}")],
    ),
)
