"""When a consumer's client is given up that has lost group or broker, or that its group does not know, and how.

After a broker was out of reach, librdkafka 2.16 may never come back to it, though it answers everybody else: neither
joins the group nor answers a question, for as long as the process runs. Another client does. Whether the broker is to
blame cannot be told from inside, and need not be: another client in vain costs nothing but itself.
"""

from __future__ import annotations

import contextlib
from typing import Final

from confluent_kafka import Consumer, KafkaException

_LONGEST: Final = 16
"""A broker may be away for hours: each client in vain is given twice the time of the one before, up to so many times
the first one's. One that is given up may never end."""
_GAP_SECONDS: Final = 10.0
"""Between two looks: more than that, and the process itself was held up or suspended."""


class Solitude:
    """How long a client has been alone. For one thread."""

    def __init__(self, limit: float, now: float) -> None:
        """`limit` is in seconds, `now` in monotonic ones."""
        self._first = self._limit = limit
        self._since = self._looked = now

    def is_too_long(self, now: float, alone: bool) -> bool:  # noqa: FBT001  # a fact, no way to act
        """Take a look; says once that it is time for another client."""
        was_held = now - self._looked > _GAP_SECONDS
        self._looked = now
        if not alone:
            self._limit = self._first
        if was_held or not alone:
            self._since = now
            return False
        if now - self._since <= self._limit:
            return False
        self._since, self._limit = now, min(2 * self._limit, _LONGEST * self._first)
        return True


class Expulsion:
    """Since when the group refuses the transactions of a member, without the member's client noticing it.

    While a client waits for the answer to its request to join, it does not watch over its session. Where the answer is
    lost, it waits for `max.poll.interval.ms`, five minutes, and keeps partitions that the group gives to others.
    The event loop notes what the group says of transactions; the consumer's thread does the rest.
    """

    def __init__(self, limit: float) -> None:
        """`limit` is in seconds: longer than a client takes to learn of it by a heartbeat."""
        self._limit = limit
        self._since: float | None = None

    def note(self, *, is_refused: bool, now: float) -> None:
        """Hear whether the group refused the offsets of a transaction, as it does not know their member."""
        if not is_refused:
            self._since = None
        elif self._since is None:
            self._since = now

    def end(self) -> None:
        """Begin anew: the client has heard of its group, or is a new one."""
        self._since = None

    def is_too_long(self, now: float) -> bool:
        """Say whether it is time for another client."""
        since = self._since
        return since is not None and now - since > self._limit


def leave(consumer: Consumer) -> None:
    """Leave the group and close a client that owns nothing.

    One that closes while it owns nothing does not tell the group, which then waits for it until its session expires.
    To give up the subscription first makes it tell.
    """
    with contextlib.suppress(KafkaException):
        consumer.unsubscribe()
    consumer.close()


def give_up(consumer: Consumer) -> None:
    """Leave with a client that may be stuck: it may take for ever, and nobody waits for it."""
    with contextlib.suppress(KafkaException, RuntimeError):
        leave(consumer)
