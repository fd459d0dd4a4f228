"""Sends the outcomes of batches, and says what is confirmed: a round at a time.

A round is what is sent until nothing more is at hand, or until it has `round_records`. At its end the broker has
confirmed all of it, or the process ends. While one round waits for the broker, the next batches are scored. At low load
a round is one batch, and no timer holds it back; under exactly-once a round is a transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from runtime import events
from worker.shipment import Shipment
from worker.transport.ledger import Ledger

_ROUND_SECONDS: Final = 0.1
"""A round that waits for batches which are said to come, and do not, ends all the same."""


class Guarantee(Protocol):
    """How a round is sent and confirmed. Everything raises DependencyError where the process cannot go on."""

    gathers: bool
    """Whether an open round is worth waiting for batches that are being scored."""

    async def open(self) -> None:
        """Begin a round."""
        ...

    async def add(self, shipment: Shipment) -> None:
        """Queue one batch's results."""
        ...

    async def close(self, shipments: Sequence[Shipment]) -> Sequence[Shipment]:
        """Wait until the round is confirmed; returns what is: all but for partitions that were lost meanwhile."""
        ...


class Publisher:
    """Takes shipments in order, and tells the ledger what is confirmed. `put` and `run` are for one task each."""

    def __init__(
        self,
        guarantee: Guarantee,
        ledger: Ledger,
        round_records: int,
        outstanding_records: int,
        clock: Callable[[], float],
    ) -> None:
        """`outstanding_records` bounds what was put and is not confirmed; one shipment is always taken."""
        self._guarantee = guarantee
        self._ledger = ledger
        self._round_records = round_records
        self._limit = outstanding_records
        self._clock = clock
        self._waiting: asyncio.Queue[Shipment] = asyncio.Queue()
        self._outstanding = 0
        self._freed = asyncio.Event()

    async def reserve(self, weight: int) -> None:
        """Wait until there is room for a batch of this weight."""
        while self._outstanding and self._outstanding + weight > self._limit:
            self._freed.clear()
            await self._freed.wait()
        self._outstanding += weight

    def release(self, weight: int) -> None:
        """Give room back."""
        self._outstanding -= weight
        self._freed.set()

    def put(self, shipment: Shipment) -> None:
        """Hand over the outcomes of a batch for which room was reserved."""
        self._waiting.put_nowait(shipment)

    async def run(self) -> None:
        """Publish one round after the other, until cancelled."""
        while True:
            first = await self._waiting.get()
            await self._guarantee.open()
            shipments = [first]
            await self._guarantee.add(first)
            deadline = self._clock() + _ROUND_SECONDS
            records = first.records
            while records < self._round_records and (more := await self._next(deadline)) is not None:
                shipments.append(more)
                records += more.records
                await self._guarantee.add(more)
            confirmed = await self._guarantee.close(shipments)
            self._tell(shipments, confirmed)

    async def _next(self, deadline: float) -> Shipment | None:
        """Return what is to be sent in the same round: what is at hand, or where it gathers, is being scored now."""
        while self._waiting.empty():
            left = deadline - self._clock()
            if left <= 0 or not (self._guarantee.gathers and self._ledger.any_waiting()):
                return None
            try:
                async with asyncio.timeout(left):
                    return await self._waiting.get()
            except TimeoutError:
                return None
        return self._waiting.get_nowait()

    def _tell(self, shipments: Sequence[Shipment], confirmed: Sequence[Shipment]) -> None:
        """Let the ledger and the metrics know."""
        now, at = time.perf_counter(), time.time()
        for shipment in confirmed:
            self._ledger.finish(shipment.batch)
            batch = shipment.batch
            seconds = now - shipment.started
            events.BatchDelivered(seconds, at, len(batch), batch.oldest(), batch.newest(), shipment.codes).emit()
        for shipment in shipments:
            self.release(shipment.weight)
