"""What a rejected record looks like on the dead letter topic.

Value and key are the original bytes, so that a repaired record can be sent again by copying. The reason is in headers:
ours (JSON, complete) and those of Kafka Streams' own dead letters (KIP-1034), without exception text or stack trace.
"""

from __future__ import annotations

from confluent_kafka import Message

from schemas.codec import encode_dead_letter
from schemas.errors import Fault, RecordError
from schemas.records import DeadLetter, Source
from schemas.topics import DEAD_LETTER_HEADER, ERROR_HEADER_PREFIX, VALUE_OMITTED_HEADER
from worker.transport.producer import OutgoingRecord


def dead_letter(topic: str, message: Message, source: Source, faults: tuple[Fault, ...]) -> OutgoingRecord:
    """Make the dead letter for one record: its key, value and headers, and every fault."""
    error = RecordError(faults)
    headers: list[tuple[str, bytes | None]] = [
        (DEAD_LETTER_HEADER, encode_dead_letter(DeadLetter(faults, source))),
        (f"{ERROR_HEADER_PREFIX}exception", type(error).__name__.encode()),
        (f"{ERROR_HEADER_PREFIX}message", str(error).encode()),
        (f"{ERROR_HEADER_PREFIX}topic", source.topic.encode()),
        (f"{ERROR_HEADER_PREFIX}partition", str(source.partition).encode()),
        (f"{ERROR_HEADER_PREFIX}offset", str(source.offset).encode()),
    ]
    ours = {name for name, _ in headers}
    original: list[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]  # read as bytes
    kept = [(name, value) for name, value in original if name not in ours]
    return OutgoingRecord(topic, message.key(), message.value(), [*kept, *headers])


def without_value(letter: OutgoingRecord) -> OutgoingRecord:
    """Make a dead letter for a value that its topic does not take: everything but the value, and how large that is."""
    size = len(letter.value or b"")
    headers = [*letter.headers, (VALUE_OMITTED_HEADER, str(size).encode())]
    return OutgoingRecord(letter.topic, letter.key, None, headers, letter.timestamp)
