"""Sends the outcomes of batches, and says what is confirmed: a round at a time.

A round is what is sent until nothing of it is unconfirmed any more, until it has `flush_max_records`, or until its time
is over. At its end the broker has confirmed all of it, or the process ends. What is scored meanwhile joins the round
while that lasts, and is sent at once; under exactly-once a round is a transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from runtime import events
from worker.shipment import Shipment
from worker.transport.ledger import Ledger

_REST_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.001
"""How often an open round is asked whether it lasts. What is at hand is sent at once."""


class Guarantee(Protocol):
    """How a round is sent and confirmed. Everything raises DependencyError where the process cannot go on."""

    patience: float
    """How long a round takes further batches at most, in seconds; it ends all the same."""

    async def open(self) -> None:
        """Begin a round."""
        ...

    async def rest(self) -> None:
        """Do what is due between rounds; called once in a while when nothing waits."""
        ...

    async def add(self, shipment: Shipment) -> None:
        """Queue one batch's results."""
        ...

    def lasts(self) -> bool:
        """Say whether an open round is worth keeping open for further batches; does not block."""
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
        flush_max_records: int,
        in_flight_max_records: int,
        clock: Callable[[], float],
    ) -> None:
        """`in_flight_max_records` bounds what was put and is not confirmed; one shipment is always taken."""
        self._guarantee = guarantee
        self._ledger = ledger
        self._round_records = flush_max_records
        self._limit = in_flight_max_records
        self._clock = clock
        self._waiting: deque[Shipment] = deque()
        self._arrived = asyncio.Event()
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
        self._waiting.append(shipment)
        self._arrived.set()

    async def run(self) -> None:
        """Publish one round after the other, until cancelled."""
        while True:
            first = await self._first()
            await self._guarantee.open()
            shipments = [first]
            await self._guarantee.add(first)
            deadline = self._clock() + self._guarantee.patience
            records = first.records
            while records < self._round_records and (more := await self._next(deadline)) is not None:
                shipments.append(more)
                records += more.records
                await self._guarantee.add(more)
            confirmed = await self._guarantee.close(shipments)
            self._tell(shipments, confirmed)

    async def _first(self) -> Shipment:
        while not self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(_REST_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                await self._guarantee.rest()
        return self._waiting.popleft()

    async def _next(self, deadline: float) -> Shipment | None:
        """Return what joins the open round, as soon as it comes; None when the round is over."""
        loop = asyncio.get_running_loop()
        while not self._waiting:
            if self._clock() >= deadline or not self._guarantee.lasts():
                return None
            self._arrived.clear()
            look = loop.call_later(_LOOK_SECONDS, self._arrived.set)
            await self._arrived.wait()
            look.cancel()
        return self._waiting.popleft()

    def _tell(self, shipments: Sequence[Shipment], confirmed: Sequence[Shipment]) -> None:
        """Let the ledger and the metrics know."""
        now, at = time.perf_counter(), time.time()
        if events.is_debugging():
            events.FlushConfirmed(self._ranges(confirmed)).emit()
        for shipment in confirmed:
            self._ledger.finish(shipment.batch)
            batch = shipment.batch
            oldest, newest = (batch.oldest(), batch.newest()) if shipment.is_awaited else (None, None)
            events.BatchDelivered(now - shipment.started, at, len(batch), oldest, newest, shipment.codes).emit()
            for span in shipment.spans:
                span.end()
        for shipment in shipments:
            self.release(shipment.weight)

    def _ranges(self, shipments: Sequence[Shipment]) -> dict[int, list[list[int]]]:
        """Return the offsets of what is still this worker's, by partition, runs that follow each other as one."""
        ranges: dict[int, list[list[int]]] = {}
        for batch in (shipment.batch for shipment in shipments if self._ledger.holds(shipment.batch)):
            runs = ranges.setdefault(batch.tp.partition, [])
            first = batch.first_offset()
            if runs and runs[-1][1] == first:
                runs[-1][1] = batch.next_offset
            else:
                runs.append([first, batch.next_offset])
        return ranges
