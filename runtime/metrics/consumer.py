"""Metrics of the consumer: partitions, lag, pauses and records in flight."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import counter, counter_of, gauge

IN_FLIGHT_BATCHES: Final = gauge(
    "heartstream_in_flight_batches", "Batches being scored or waiting for confirmation. Updated every second."
)
IN_FLIGHT_RECORDS: Final = gauge("heartstream_in_flight_records", "Records being scored or waiting for confirmation.")
CONSUMER_REPLACEMENTS: Final = counter(
    "heartstream_consumer_replacements",
    "Consumer clients replaced: without group or broker for a minute, or refused by the group for 10 s.",
)
PAUSED: Final = gauge(
    "heartstream_consumption_paused",
    "Whether consumption is paused (1) or not (0), by reason: output, results are sent more slowly than records "
    "arrive; commits, no offset commit has succeeded for more than two seconds (at least once only).",
    "reason",
)
PARTITIONS: Final = gauge("heartstream_assigned_partitions", "Partitions assigned to this worker.")
REBALANCES: Final = counter_of(
    "heartstream_rebalances",
    "Rebalances by kind: partitions assigned, revoked or lost.",
    "kind",
    "assigned",
    "revoked",
    "lost",
)
LAG_RECORDS: Final = gauge(
    "heartstream_consumer_lag_records",
    "Records of a partition, up to its end, without a confirmed outcome. Updated every second.",
    "topic",
    "partition",
)
LAG_SECONDS: Final = gauge(
    "heartstream_consumer_lag_seconds",
    "Age of the oldest record of a partition without a confirmed outcome, by its Kafka timestamp; 0 without lag. Until "
    "that record is fetched: the time since it was first seen.",
    "topic",
    "partition",
)
STALLS: Final = counter(
    "heartstream_partition_stalls", "Partitions refetched because they were stalled although the broker answers."
)
BROKER_ANSWER: Final = gauge(
    "heartstream_broker_last_answer_timestamp_seconds",
    "When a broker last answered the request for offsets or metadata sent every second (Unix time; 0: never).",
)
