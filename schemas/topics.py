"""Names that Kafka clients of heartstream must know: default topics and headers."""

from __future__ import annotations

PATIENTS = "patients"
SCORES = "scores"
DEAD_LETTERS = "patients.dlq"

DEAD_LETTER_HEADER = "heartstream.dead-letter"
"""Holds a `DeadLetter` as JSON."""

ERROR_HEADER_PREFIX = "__streams.errors."
"""The header names that Kafka Streams gives its own dead letters (KIP-1034), so that existing tools read ours."""
