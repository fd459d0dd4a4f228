"""Metrics of delivery: results, latency and offset commits."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import counter, counter_of, gauge, histogram, spread_histogram

DEAD_LETTERS: Final = counter(
    "heartstream_dead_letters",
    "Dead letters confirmed by the broker, by the first error of the record.",
    "code",
)
DELIVERY_SECONDS: Final = histogram(
    "heartstream_delivery_duration_seconds",
    "Time from the start of a batch until the broker has confirmed all its results.",
    (0.002, 0.01, 0.05, 0.2, 1, 5, 30, 120),
)
LATENCY_SECONDS: Final = spread_histogram(
    "heartstream_end_to_end_latency_seconds",
    "Time from a record's Kafka timestamp until its outcome was confirmed. Only the first and the last record of a "
    "batch are measured; the others are interpolated evenly. The clocks of producers and workers must agree.",
    (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
COMMITS: Final = counter_of(
    "heartstream_commits",
    "Offset commits by result: committed, failed, or aborted with their transaction.",
    "result",
    "committed",
    "failed",
    "aborted",
)
PRODUCER_REPLACEMENTS: Final = counter(
    "heartstream_producer_replacements",
    "Transactional producer clients replaced (exactly once only): a call did not return or was slow, or a record was "
    "refused.",
)
PROGRESS: Final = gauge(
    "heartstream_last_progress_timestamp_seconds", "When a batch was last confirmed (Unix time; 0: never)."
)
