"""Parses filters, positions and times of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from heartstream.operations.dlq.dead_letters import Selection
from schemas.errors import RejectionCode

_AGE: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str, now: datetime) -> int:
    """Return milliseconds since 1970 for a time (ISO 8601, UTC by default) or an age such as 30m or 2d.

    Raises ValueError on anything else.
    """
    try:
        if age := _AGE.fullmatch(text):
            when = now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        else:
            when = datetime.fromisoformat(text)
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text} is neither a time such as 2026-01-31T12:00 nor an age such as 30m, 12h or 2d"
        ) from error
    return int(when.timestamp() * 1000)


class RecordRange(msgspec.Struct, frozen=True):
    """Records from `since` to before `until` (milliseconds since 1970), at most `limit` of them."""

    since: int | None
    until: int | None
    limit: int | None

    @classmethod
    def of(cls, since: str | None, until: str | None, limit: int | None) -> RecordRange:
        """Parse the times. Raises ValueError."""
        now = datetime.now(UTC)
        first, last = (None if text is None else parse_time(text, now) for text in (since, until))
        return cls(first, last, limit)


def parse_position(text: str, topic: str) -> tuple[str, int, int]:
    """Return topic, partition and offset of `partition:offset`, or of the same with a topic before it.

    Raises ValueError on anything else.
    """
    match text.rsplit(":", 2):
        case [partition, offset] if partition.isdecimal() and offset.isdecimal():
            return topic, int(partition), int(offset)
        case [named, partition, offset] if named and partition.isdecimal() and offset.isdecimal():
            return named, int(partition), int(offset)
        case _:
            raise ValueError(f"{text} is not a position: give partition:offset, as `heartstream dlq list` prints it")


def selection(
    codes: Iterable[RejectionCode], since: str | None, until: str | None, key: str | None, now: datetime
) -> Selection:
    """Parse the filters. Raises ValueError for an invalid time."""
    return Selection(
        codes=frozenset(codes),
        since=None if since is None else parse_time(since, now),
        until=None if until is None else parse_time(until, now),
        key=None if key is None else key.encode(),
    )
