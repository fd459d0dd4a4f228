"""Metrics of scored and rejected records."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import counter, histogram

RECORDS: Final = counter(
    "heartstream_records", "Records processed, by outcome: scored or rejected.", "interface", "outcome"
)
RECORD_ERRORS: Final = counter("heartstream_record_errors", "Errors of rejected records, by code.", "interface", "code")
BATCH_RECORDS: Final = histogram(
    "heartstream_batch_records", "Records scored in one batch.", (1, 4, 16, 64, 256, 1024, 4096, 16_384), "interface"
)
BATCH_SECONDS: Final = histogram(
    "heartstream_batch_duration_seconds",
    "Time to decode, validate, score and encode a batch.",
    (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2.5),
    "interface",
)
