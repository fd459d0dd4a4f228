"""When and how a consumer client is replaced that has lost its group or broker, or that the group no longer knows.

After a broker outage, a librdkafka 2.16 client may never reconnect, although the broker answers other clients: it
neither joins the group nor answers requests while the process runs. A new client does. From inside the process this
cannot be distinguished from an outage that goes on, so replacement is attempted in both cases; it is harmless.
"""

from __future__ import annotations

import contextlib
from typing import Final

from confluent_kafka import Consumer, KafkaException

_LONGEST: Final = 16
"""During a long outage each new client gets twice the time of the one before, up to this multiple of the first:
an abandoned client may never end."""
_GAP_SECONDS: Final = 10.0
"""A longer gap between two checks means that the process itself was blocked or suspended."""


class DisconnectionTimer:
    """Measures how long a client has been without its group or a broker. Not thread-safe."""

    def __init__(self, limit: float, now: float) -> None:
        """`limit` is in seconds, `now` in monotonic ones."""
        self._first = self._limit = limit
        self._since = self._checked_at = now

    def is_too_long(self, now: float, is_disconnected: bool) -> bool:  # noqa: FBT001  # a measurement, not a mode
        """Check; returns True once when the client should be replaced."""
        was_suspended = now - self._checked_at > _GAP_SECONDS
        self._checked_at = now
        if not is_disconnected:
            self._limit = self._first
        if was_suspended or not is_disconnected:
            self._since = now
            return False
        if now - self._since <= self._limit:
            return False
        self._since, self._limit = now, min(2 * self._limit, _LONGEST * self._first)
        return True


class ExpulsionTimer:
    """Since when the group has refused a member's transactions without its client noticing.

    A client that waits for the response to its JoinGroup request does not check its session. If the response is lost,
    it waits for `max.poll.interval.ms`, five minutes, and keeps partitions that the group assigns to others. The event
    loop reports refused transactions; the consumer thread replaces the client.
    """

    def __init__(self, limit: float) -> None:
        """`limit`, in seconds, is longer than a client takes to learn of it from a heartbeat."""
        self._limit = limit
        self._since: float | None = None

    def record(self, *, is_refused: bool, now: float) -> None:
        """Record whether the group refused a transaction's offsets because it does not know the member."""
        if not is_refused:
            self._since = None
        elif self._since is None:
            self._since = now

    def reset(self) -> None:
        """Reset: the client had an answer from its group."""
        self._since = None

    def is_too_long(self, now: float) -> bool:
        """Whether the client should be replaced."""
        since = self._since
        return since is not None and now - since > self._limit


def leave_group(consumer: Consumer) -> None:
    """Leave the group and close a client without partitions.

    Closing such a client does not send LeaveGroup, and the group waits for its session timeout. Unsubscribing first
    does.
    """
    with contextlib.suppress(KafkaException):
        consumer.unsubscribe()
    consumer.close()


def close_abandoned(consumer: Consumer) -> None:
    """Close a client that may be stuck, in a thread that nobody waits for: it may block forever."""
    with contextlib.suppress(KafkaException, RuntimeError):
        leave_group(consumer)
