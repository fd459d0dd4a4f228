"""Names that Kafka clients of heartstream must know: default topics and headers."""

from __future__ import annotations

PATIENTS = "patients"
SCORES = "scores"
DEAD_LETTERS = "patients.dlq"

DEAD_LETTER_HEADER = "heartstream.dead-letter"
"""Holds a `DeadLetter` as JSON."""

VALUE_OMITTED_HEADER = "heartstream.value-omitted"
"""On a dead letter whose value the dead letter topic did not take: the value's size in bytes, as decimal text.

The value itself stands at the dead letter's `source`. A dead letter with neither value nor this header is of a
tombstone.
"""

ERROR_HEADER_PREFIX = "__streams.errors."
"""The header names that Kafka Streams gives its own dead letters (KIP-1034), so that existing tools read ours."""
