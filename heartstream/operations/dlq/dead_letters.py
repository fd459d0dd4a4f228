"""Records of the dead letter topic, and the filter for them."""

from __future__ import annotations

from typing import Final, Self

import msgspec
from confluent_kafka import Message

from runtime.kafka.messages import NO_TIMESTAMP, headers_of, timestamp_of
from schemas.codec import UNDECODABLE, decode_dead_letter, decode_source
from schemas.errors import RejectionCode
from schemas.records import DeadLetter, Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    FIRST_FAILURE_HEADER,
    HEADERS_OMITTED_HEADER,
    KEY_OMITTED_HEADER,
    REASON_HEADERS,
    REDRIVE_ATTEMPTS_HEADER,
    TIMESTAMP_HEADER,
    VALUE_OMITTED_HEADER,
)

Headers = tuple[tuple[str, bytes | None], ...]
_MOST_DIGITS: Final = 18
_LARGEST_OFFSET: Final = (1 << 63) - 1
_OURS: Final = REASON_HEADERS | {REDRIVE_ATTEMPTS_HEADER, FIRST_FAILURE_HEADER}


class DeadLetterRecord(msgspec.Struct, frozen=True):
    """One record of the dead letter topic. `reason` is None if heartstream did not write the record.

    `headers` and `timestamp` are those of the original record; the timestamp is in milliseconds since 1970, None if the
    record has none. `omitted_bytes` is the size of a value that was omitted because it exceeded the topic's limit;
    `lacks_key` and `lacks_headers` mean that key and headers were omitted.
    """

    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: DeadLetter | None
    attempts: int
    first_failure: Source | None
    omitted_bytes: int | None
    lacks_key: bool = False
    lacks_headers: bool = False

    @classmethod
    def of(cls, message: Message) -> Self:
        """Decode a consumed message."""
        headers: Headers = tuple(headers_of(message))
        ours = {name: value or b"" for name, value in headers if name in _OURS}
        lacks_key = KEY_OMITTED_HEADER in ours
        return cls(
            partition=_number(message.partition()),
            offset=_number(message.offset()),
            timestamp=_original_time(ours.get(TIMESTAMP_HEADER), message),
            key=None if lacks_key else message.key(),
            value=message.value(),
            headers=tuple((name, value) for name, value in headers if name not in _OURS),
            reason=_read_reason(ours.get(DEAD_LETTER_HEADER)),
            attempts=_count(ours.get(REDRIVE_ATTEMPTS_HEADER)) or 0,
            first_failure=_read_source(ours.get(FIRST_FAILURE_HEADER)),
            omitted_bytes=_count(ours.get(VALUE_OMITTED_HEADER)),
            lacks_key=lacks_key,
            lacks_headers=HEADERS_OMITTED_HEADER in ours,
        )

    @property
    def is_whole(self) -> bool:
        """Whether the letter holds the complete original record."""
        return self.omitted_bytes is None and not self.lacks_key and not self.lacks_headers

    @property
    def codes(self) -> tuple[RejectionCode, ...]:
        """The distinct error codes of the letter."""
        return tuple(dict.fromkeys(issue.code for issue in self.reason.errors)) if self.reason else ()


class Selection(msgspec.Struct, frozen=True):
    """A filter for letters: with any of `codes`, from `since` to before `until`, with `key`."""

    codes: frozenset[RejectionCode] = frozenset()
    since: int | None = None
    until: int | None = None
    key: bytes | None = None

    def matches(self, letter: DeadLetterRecord) -> bool:
        """Return whether the letter matches. A time bound excludes records without a timestamp."""
        if self.codes and self.codes.isdisjoint(letter.codes):
            return False
        if self.key is not None and self.key != letter.key:
            return False
        time = letter.timestamp
        if self.since is not None and (time is None or time < self.since):
            return False
        return self.until is None or (time is not None and time < self.until)


def _original_time(header: bytes | None, message: Message) -> int | None:
    """Return the timestamp of the original record from the header; without a header, that of the letter."""
    is_negative = header is not None and header.startswith(b"-")
    size = _count(header[1:] if header is not None and is_negative else header)
    if size is None:
        return timestamp_of(message)
    time = -size if is_negative else size
    return None if time == NO_TIMESTAMP else time


def _read_reason(header: bytes | None) -> DeadLetter | None:
    try:
        reason = decode_dead_letter(header) if header else None
    except UNDECODABLE:
        return None
    return reason if reason is not None and _is_possible(reason.source) else None


def _read_source(header: bytes | None) -> Source | None:
    try:
        source = decode_source(header) if header else None
    except UNDECODABLE:
        return None
    return source if source is not None and _is_possible(source) else None


def _is_possible(source: Source) -> bool:
    return 0 <= source.partition <= _LARGEST_OFFSET and 0 <= source.offset <= _LARGEST_OFFSET


def _count(header: bytes | None) -> int | None:
    """Return the number in a header, None if it is not one: anybody may have written it."""
    return int(header) if header and len(header) <= _MOST_DIGITS and header.isdigit() else None


def _number(value: int | None) -> int:
    if value is None:
        raise AssertionError("a consumed message has a partition and an offset")
    return value
