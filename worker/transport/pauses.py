"""Pausing and resuming partitions. Runs on the thread that owns the consumer, never inside a callback of a rebalance.

The client remembers a pause for a partition that is taken away: one that comes back later would stay paused, and never
be read again. And a pause or resume inside a rebalance may leave a partition paused for ever (librdkafka #5591).
"""

from __future__ import annotations

from confluent_kafka import Consumer
from faust.types import TP

from worker.transport.commits import tp_of, tps_of


class Pauses:
    """Keeps in mind what was paused, also while it is not owned."""

    def __init__(self, consumer: Consumer) -> None:
        """Begin with nothing paused."""
        self._consumer = consumer
        self._paused: set[TP] = set()

    def __len__(self) -> int:
        """Count the partitions that are paused, or would be if they came back."""
        return len(self._paused)

    def pause(self) -> None:
        """Fetch no more from any owned partition."""
        owned = self._consumer.assignment()
        self._consumer.pause(owned)
        self._paused |= tps_of(owned)

    def resume(self) -> None:
        """Fetch again from every owned partition that was paused, in this ownership or an earlier one."""
        back = [position for position in self._consumer.assignment() if tp_of(position) in self._paused]
        if back:
            self._consumer.resume(back)
            self._paused -= tps_of(back)
