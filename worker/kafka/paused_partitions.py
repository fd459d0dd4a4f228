"""Pauses and resumes partitions. Runs on the consumer thread, never inside a rebalance callback.

The client keeps a pause for a revoked partition: if it is assigned again later, it stays paused and would never be
read. A pause or resume inside a rebalance may leave a partition paused forever (librdkafka #5591).
"""

from __future__ import annotations

from confluent_kafka import Consumer
from faust.types import TP

from worker.kafka.commits import tp_of, tps_of


class PausedPartitions:
    """Remembers the paused partitions, including those not currently owned."""

    def __init__(self, consumer: Consumer) -> None:
        """Start with nothing paused."""
        self._consumer = consumer
        self._paused: set[TP] = set()

    def __len__(self) -> int:
        """The number of partitions that are paused, or would be if they were assigned again."""
        return len(self._paused)

    def pause(self) -> None:
        """Stop fetching from all owned partitions."""
        owned = self._consumer.assignment()
        self._consumer.pause(owned)
        self._paused |= tps_of(owned)

    def resume(self) -> None:
        """Resume every owned partition that was paused, in this assignment or an earlier one."""
        back = [position for position in self._consumer.assignment() if tp_of(position) in self._paused]
        if back:
            self._consumer.resume(back)
            self._paused -= tps_of(back)
