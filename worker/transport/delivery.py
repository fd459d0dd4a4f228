"""Counting what the broker has confirmed, a batch at a time."""

from __future__ import annotations

import asyncio

from confluent_kafka import KafkaError, Message

from schemas.errors import DependencyError


class Delivery:
    """The results of one batch on their way. `done` ends when the broker has confirmed every one of them.

    `done` raises DependencyError if one cannot be delivered for good. Made and used on the event loop's thread, where
    the producer is polled too.
    """

    __slots__ = ("_outstanding", "done")

    def __init__(self, records: int) -> None:
        """Expect this many confirmations; with none to expect, it is done at once."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outstanding = records
        if not records:
            self.done.set_result(None)

    def confirm(self, error: KafkaError | None, _message: Message | None) -> None:
        """Take one delivery report, as librdkafka's `on_delivery`."""
        self._outstanding -= 1
        if error is not None and not self.done.done():
            self.done.set_exception(DependencyError(f"a result could not be delivered: {error.name()}: {error.str()}"))
        elif not self._outstanding and not self.done.done():
            self.done.set_result(None)
