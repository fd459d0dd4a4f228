"""Names that Kafka clients of heartstream need: default topics and headers."""

from __future__ import annotations

import re
from typing import Final

PATIENTS = "patients"
SCORES = "scores"
DEAD_LETTERS = "patients.dlq"
OUTCOMES = "outcomes"
SHADOW = "scores.shadow"

_LEGAL_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def name_problem(topic: str) -> str | None:
    """Return why a name is not valid for a Kafka topic, None if it is."""
    if _LEGAL_NAME.fullmatch(topic) and topic not in {".", ".."}:
        return None
    return (
        "must be the name of one Kafka topic: 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-', and neither "
        "'.' nor '..' (lists and regular expressions are not supported)"
    )


DEAD_LETTER_HEADER = "heartstream.dead-letter"
"""Holds a `DeadLetter` as JSON."""

VALUE_OMITTED_HEADER = "heartstream.value-omitted"
"""On a dead letter whose value the dead letter topic rejected: the value's size in bytes, as decimal text.

The value itself is at the dead letter's `source`. A dead letter with neither value nor this header is that of a
tombstone.
"""

KEY_OMITTED_HEADER = "heartstream.key-omitted"
"""On a dead letter whose key the dead letter topic rejected: the key's size in bytes, as decimal text.

It is empty if the record had no key and the topic is compacted, so that it requires one. The dead letter's key is then
its source, as `topic:partition:offset`.
"""

HEADERS_OMITTED_HEADER = "heartstream.headers-omitted"
"""On a dead letter without the original record's headers, which the topic rejected: their number."""

TIMESTAMP_HEADER = "heartstream.timestamp"
"""On a dead letter: the original record's timestamp in milliseconds since 1970, as decimal text; -1 if it has none.

The dead letter's own timestamp is the same, unless its topic is set to `message.timestamp.type=LogAppendTime`.
"""

REDRIVE_ATTEMPTS_HEADER = "heartstream.redrive-attempts"
"""On a redriven record: how many times it was redriven, as decimal text."""

FIRST_FAILURE_HEADER = "heartstream.first-failure"
"""On a redriven record: the `Source` at which it failed first, as JSON."""

TRACEPARENT_HEADER = "traceparent"
TRACESTATE_HEADER = "tracestate"
"""W3C Trace Context, on a patient record that its producer traces, and on the result that the worker traces."""

ERROR_HEADER_PREFIX = "__streams.errors."
"""The header names that Kafka Streams gives its own dead letters (KIP-1034), so that existing tools read ours."""

REASON_HEADERS = frozenset(
    {
        DEAD_LETTER_HEADER,
        TIMESTAMP_HEADER,
        VALUE_OMITTED_HEADER,
        KEY_OMITTED_HEADER,
        HEADERS_OMITTED_HEADER,
        *(f"{ERROR_HEADER_PREFIX}{part}" for part in ("exception", "message", "topic", "partition", "offset")),
    }
)
"""The headers that a dead letter has in addition to the original record's. Redrive removes them."""
