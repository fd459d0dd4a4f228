"""Panels of the stream."""

from __future__ import annotations

from typing import Final

from compose.grafana.panels import RATE, WORKERS, Panel, mean, quantiles

STREAM: Final = (
    Panel(
        "Lag in records",
        "Records of a partition without a confirmed outcome. Partitions without an owner are not shown.",
        "short",
        [(f"max by (topic, partition) (heartstream_consumer_lag_records {WORKERS})", "{{topic}} {{partition}}")],
    ),
    Panel(
        "Records per batch",
        "Mean number of records scored at once.",
        "short",
        [(mean("heartstream_batch_records", "interface"), "{{interface}}")],
    ),
    Panel(
        "Batch scoring time",
        "Decode, validate, score and encode.",
        "s",
        quantiles("heartstream_batch_duration_seconds", by="interface"),
    ),
    Panel(
        "Batch delivery time",
        "From the start of a batch until the broker has confirmed all of its results.",
        "s",
        quantiles("heartstream_delivery_duration_seconds", whose=f" {WORKERS}"),
        ((None, "green"), (5, "red")),
    ),
    Panel(
        "Records in flight",
        "Records being scored or waiting for confirmation. Consumption pauses at "
        "HEARTSTREAM_WORKER__IN_FLIGHT_MAX_RECORDS.",
        "short",
        [(f"heartstream_in_flight_records {WORKERS}", "{{instance}}")],
    ),
    Panel(
        "Dead letters per second",
        "Confirmed dead letters by their first error: docs/dead-letters.md explains the codes.",
        "short",
        [(f"sum by (code) (rate(heartstream_dead_letters_total{RATE}))", "{{code}}")],
    ),
    Panel(
        "Commits per second",
        "Offset commits by result.",
        "short",
        [(f"sum by (result) (rate(heartstream_commits_total{RATE}) {WORKERS})", "{{result}}")],
    ),
    Panel(
        "Rebalances and recoveries",
        "Assignment changes, stalled partitions that were refetched, and replaced clients.",
        "short",
        [
            (f"sum by (kind) (increase(heartstream_rebalances_total{RATE}) {WORKERS})", "{{kind}}"),
            (f"sum(increase(heartstream_partition_stalls_total{RATE}) {WORKERS})", "stalled"),
            (f"sum(increase(heartstream_producer_replacements_total{RATE}) {WORKERS})", "producer replaced"),
            (f"sum(increase(heartstream_consumer_replacements_total{RATE}) {WORKERS})", "consumer replaced"),
        ],
    ),
    Panel(
        "Partitions by worker",
        "Partitions of each worker, and workers whose consumption is paused, by reason.",
        "short",
        [
            (f"heartstream_assigned_partitions {WORKERS}", "{{instance}}"),
            (f"sum by (reason) (heartstream_consumption_paused {WORKERS})", "paused: {{reason}}"),
        ],
    ),
    Panel(
        "Time since the last confirmed batch",
        "By worker. On an idle topic it grows, which is not a problem.",
        "s",
        [("time() - (heartstream_last_progress_timestamp_seconds > 0)", "{{instance}}")],
        width=12,
    ),
    Panel(
        "Time since the last broker response",
        "Workers send a request every second. Above 60 s an alert fires.",
        "s",
        [("time() - (heartstream_broker_last_answer_timestamp_seconds > 0)", "{{instance}}")],
        ((None, "green"), (60, "red")),
        width=12,
    ),
)
