"""What a rejected record looks like on the dead letter topic.

Key, value, headers and timestamp are the original's, so that a record can be sent again by copying. The reason is in
headers: ours (JSON, complete) and those of Kafka Streams' own dead letters (KIP-1034), without exception text or stack
trace. A record that comes back from the dead letters and fails again gets new reasons in place of the old; how often
that was and where it failed first (see `heartstream.operations.dlq`) stay in their headers. The letter of a traced
record carries the trace on from the span that rejected it, so a record that is sent again belongs to the same trace.
"""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Message

from runtime.kafka.messages import NO_TIMESTAMP, headers_of, timestamp_of
from schemas.codec import decode_dead_letter, encode_dead_letter
from schemas.errors import RecordError, ValidationIssue
from schemas.records import DeadLetter, Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    ERROR_HEADER_PREFIX,
    HEADERS_OMITTED_HEADER,
    KEY_OMITTED_HEADER,
    REASON_HEADERS,
    TIMESTAMP_HEADER,
    TRACEPARENT_HEADER,
    TRACESTATE_HEADER,
    VALUE_OMITTED_HEADER,
)
from worker.kafka.outgoing_record import ANY_PARTITION, Headers, OutgoingRecord

_EXCEPTION: Final = RecordError.__name__.encode()
_KEPT: Final = REASON_HEADERS | {TRACEPARENT_HEADER}
"""What a letter without the original's headers still has."""
_MARKS: Final = frozenset({VALUE_OMITTED_HEADER, KEY_OMITTED_HEADER, HEADERS_OMITTED_HEADER})


def dead_letter(
    topic: str, message: Message, source: Source, issues: tuple[ValidationIssue, ...], trace: Headers = ()
) -> OutgoingRecord:
    """Make the dead letter for one record: its key, value, headers and timestamp, and every issue.

    `trace` takes the place of the trace context that the record brought along.
    """
    found = timestamp_of(message)
    timestamp = NO_TIMESTAMP if found is None else found
    reasons: list[tuple[str, bytes | None]] = [
        (DEAD_LETTER_HEADER, encode_dead_letter(DeadLetter(issues, source))),
        (f"{ERROR_HEADER_PREFIX}exception", _EXCEPTION),
        (f"{ERROR_HEADER_PREFIX}message", str(RecordError(issues)).encode()),
        (f"{ERROR_HEADER_PREFIX}topic", source.topic.encode()),
        (f"{ERROR_HEADER_PREFIX}partition", str(source.partition).encode()),
        (f"{ERROR_HEADER_PREFIX}offset", str(source.offset).encode()),
        (TIMESTAMP_HEADER, str(timestamp).encode()),
    ]
    replaced = REASON_HEADERS | {TRACEPARENT_HEADER, TRACESTATE_HEADER} if trace else REASON_HEADERS
    kept = [(name, value) for name, value in headers_of(message) if name not in replaced]
    return OutgoingRecord(topic, message.key(), message.value(), [*kept, *trace, *reasons], timestamp)


def reduced(letter: OutgoingRecord) -> OutgoingRecord | None:
    """Return the dead letter without its largest part, for a topic that refuses it as too large.

    The largest of value, key and original headers is dropped first, replaced by a header with its size; then all errors
    but the first, and the headers of Kafka Streams. The source is always kept. Returns None if nothing can be dropped.
    """
    parts = {
        without_value: len(letter.value or b""),
        without_key: 0 if _has_header(letter, KEY_OMITTED_HEADER) else len(letter.key or b""),
        without_headers: sum(len(name) + len(value or b"") + 1 for name, value in letter.headers if name not in _KEPT),
    }
    leave_out = max(parts, key=lambda part: parts[part])
    if parts[leave_out]:
        return leave_out(letter)
    return _bare(letter) if _has_header(letter, f"{ERROR_HEADER_PREFIX}message") else None


def without_value(letter: OutgoingRecord) -> OutgoingRecord:
    """Return the dead letter without its value; a header keeps the value's size in bytes."""
    return _changed(letter, [(VALUE_OMITTED_HEADER, str(len(letter.value or b"")).encode())], value=None)


def without_key(letter: OutgoingRecord) -> OutgoingRecord:
    """Return the dead letter with its source as its key, which a compacted topic accepts."""
    size = b"" if letter.key is None else str(len(letter.key)).encode()
    source = source_of(letter)
    key = f"{source.topic}:{source.partition}:{source.offset}".encode()
    return _changed(letter, [(KEY_OMITTED_HEADER, size)], key=key)


def without_headers(letter: OutgoingRecord) -> OutgoingRecord:
    """Return the dead letter without the original record's headers."""
    kept = [(name, value) for name, value in letter.headers if name in _KEPT]
    left_out = str(len(letter.headers) - len(kept)).encode()
    return _changed(letter, [(HEADERS_OMITTED_HEADER, left_out)], headers=kept)


def source_of(letter: OutgoingRecord) -> Source:
    """Return the topic, partition and offset of a dead letter's record."""
    return _reason_of(letter).source


def _reason_of(letter: OutgoingRecord) -> DeadLetter:
    return decode_dead_letter(dict(letter.headers)[DEAD_LETTER_HEADER] or b"")


def _bare(letter: OutgoingRecord) -> OutgoingRecord:
    reason = _reason_of(letter)
    first = encode_dead_letter(DeadLetter(reason.errors[:1], reason.source))
    marks = [(name, value) for name, value in letter.headers if name in _MARKS]
    return _changed(letter, [(DEAD_LETTER_HEADER, first)], headers=marks)


def _has_header(letter: OutgoingRecord, name: str) -> bool:
    return any(each == name for each, _ in letter.headers)


def _changed(letter: OutgoingRecord, added: Headers, **parts: Any) -> OutgoingRecord:
    """Return a copy of a letter with other parts and more headers."""
    key, value = parts.get("key", letter.key), parts.get("value", letter.value)
    headers = [*parts.get("headers", letter.headers), *added]
    changed = OutgoingRecord(letter.topic, key, value, headers, letter.timestamp)
    changed.partition = letter.partition if key is None else ANY_PARTITION
    return changed
