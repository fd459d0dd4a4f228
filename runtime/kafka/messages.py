"""Headers and timestamps of Kafka messages, whatever the producer set.

Header names are UTF-8 by convention only. If one is not, confluent-kafka returns a tuple without its name and sets an
error at the same time. Only a call made from C notices that, as a SystemError: Python's own calls, once specialized,
check only the result. Reading the missing name would crash the process.
"""

from __future__ import annotations

import gc
from operator import methodcaller
from typing import Any, Final, Protocol

UNREADABLE_NAME: Final = "heartstream.unreadable-name"
"""Replaces the name of a header whose name is not UTF-8."""
NO_TIMESTAMP: Final = -1
"""What Kafka's protocol and the client have instead of a timestamp that the producer did not set.

The client reports the timestamp type of such a message as CreateTime, as for any other.
"""
_PAIR: Final = 2
_checked_call: Final = methodcaller("headers")

RecordHeaders = list[tuple[str, bytes | None]]


class Message(Protocol):
    """The part of a Kafka client's message that is used here."""

    def headers(self) -> Any:
        """Return the headers, None if there are none."""
        ...

    def set_headers(self, headers: Any) -> None:
        """Replace the headers."""
        ...

    def timestamp(self) -> Any:
        """Return the timestamp's type, and milliseconds since 1970."""
        ...


def headers_of(message: Message) -> RecordHeaders:
    """Return the headers in order; a value whose name is not UTF-8 is under `UNREADABLE_NAME`."""
    try:
        found: RecordHeaders | None = _checked_call(message)
    except SystemError:
        # Not even an iterator may touch a missing name; the garbage collector's view leaves it out.
        pairs = [
            pair if len(gc.get_referents(pair)) == _PAIR else (UNREADABLE_NAME, pair[1]) for pair in message.headers()
        ]
        message.set_headers(pairs)
        return pairs
    return found or []


def timestamp_of(message: Message) -> int | None:
    """Return the timestamp in milliseconds since 1970, None if there is none."""
    milliseconds: int = message.timestamp()[1]
    return None if milliseconds == NO_TIMESTAMP else milliseconds
