"""What a rejected record looks like on the dead letter topic.

Key, value, headers and timestamp are the original's, so that a record can be sent again by copying. The reason is in
headers: ours (JSON, complete) and those of Kafka Streams' own dead letters (KIP-1034), without exception text or stack
trace. A record that comes back from the dead letters and fails again gets new reasons in place of the old; how often
that was and where it failed first (see `heartstream.dlq`) stay in their headers. The letter of a traced record carries
the trace on from the span that rejected it, so a record that is sent again belongs to the same trace.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from runtime.record_headers import headers_of
from schemas.codec import encode_dead_letter
from schemas.errors import Fault, RecordError
from schemas.records import DeadLetter, Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    ERROR_HEADER_PREFIX,
    REASON_HEADERS,
    TIMESTAMP_HEADER,
    TRACEPARENT_HEADER,
    TRACESTATE_HEADER,
    VALUE_OMITTED_HEADER,
)
from worker.transport.producer import Headers, OutgoingRecord

_EXCEPTION: Final = RecordError.__name__.encode()


def dead_letter(
    topic: str, message: Message, source: Source, faults: tuple[Fault, ...], trace: Headers = ()
) -> OutgoingRecord:
    """Make the dead letter for one record: its key, value, headers and timestamp, and every fault.

    `trace` takes the place of the trace context that the record brought along.
    """
    reasons: list[tuple[str, bytes | None]] = [
        (DEAD_LETTER_HEADER, encode_dead_letter(DeadLetter(faults, source))),
        (f"{ERROR_HEADER_PREFIX}exception", _EXCEPTION),
        (f"{ERROR_HEADER_PREFIX}message", str(RecordError(faults)).encode()),
        (f"{ERROR_HEADER_PREFIX}topic", source.topic.encode()),
        (f"{ERROR_HEADER_PREFIX}partition", str(source.partition).encode()),
        (f"{ERROR_HEADER_PREFIX}offset", str(source.offset).encode()),
    ]
    kind, timestamp = message.timestamp()
    known = None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp
    if known is not None:
        reasons.append((TIMESTAMP_HEADER, str(known).encode()))
    replaced = REASON_HEADERS | {TRACEPARENT_HEADER, TRACESTATE_HEADER} if trace else REASON_HEADERS
    kept = [(name, value) for name, value in headers_of(message) if name not in replaced]
    return OutgoingRecord(topic, message.key(), message.value(), [*kept, *trace, *reasons], known)


def without_value(letter: OutgoingRecord) -> OutgoingRecord:
    """Make the same dead letter without its value, for a topic that does not take a record so large.

    A header says that the value was left out and how many bytes it has; the letter's source says where it stands.
    """
    size = len(letter.value or b"")
    headers = [*letter.headers, (VALUE_OMITTED_HEADER, str(size).encode())]
    return OutgoingRecord(letter.topic, letter.key, None, headers, letter.timestamp)
