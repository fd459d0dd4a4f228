"""Publishes the results of batches in flushes, and marks confirmed batches in the ledger.

A flush takes batches while its guarantee accepts more, up to `flush_max_records` records or its linger time; each batch
is sent at once. It ends when the broker has confirmed all of its records, or else the process ends. Under
exactly-once a flush is a transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from runtime import events
from worker.kafka.ledger import Ledger
from worker.scored_batch import ScoredBatch

_IDLE_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 0.001
"""How often an open flush is checked for whether to wait for more batches."""


class Guarantee(Protocol):
    """How a flush is sent and confirmed. All methods raise DependencyError if the process cannot go on."""

    linger: float
    """For how many seconds at most a flush takes further batches."""

    async def open(self) -> None:
        """Begin a flush."""
        ...

    async def idle(self) -> None:
        """Do what is due between flushes; called about once a second while no batch waits."""
        ...

    async def add(self, scored_batch: ScoredBatch) -> None:
        """Queue one batch's results at the client."""
        ...

    def accepts_more(self) -> bool:
        """Whether to keep an open flush open for further batches; does not block."""
        ...

    async def close(self, batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
        """Wait for confirmation; returns the confirmed batches: all but those of partitions lost in the meantime."""
        ...


class Publisher:
    """Publishes scored batches in order. `put` and `run` may each be called by one task."""

    def __init__(
        self,
        guarantee: Guarantee,
        ledger: Ledger,
        flush_max_records: int,
        in_flight_max_records: int,
        clock: Callable[[], float],
    ) -> None:
        """`in_flight_max_records` bounds the unconfirmed records; a single batch may exceed it."""
        self._guarantee = guarantee
        self._ledger = ledger
        self._flush_records = flush_max_records
        self._limit = in_flight_max_records
        self._clock = clock
        self._waiting: deque[ScoredBatch] = deque()
        self._arrived = asyncio.Event()
        self._in_flight = 0
        self._freed = asyncio.Event()

    async def reserve(self, weight: int) -> None:
        """Wait for capacity for a batch of this weight."""
        while self._in_flight and self._in_flight + weight > self._limit:
            self._freed.clear()
            await self._freed.wait()
        self._in_flight += weight

    def release(self, weight: int) -> None:
        """Release capacity."""
        self._in_flight -= weight
        self._freed.set()

    def put(self, scored_batch: ScoredBatch) -> None:
        """Queue the results of a batch whose capacity was reserved."""
        self._waiting.append(scored_batch)
        self._arrived.set()

    async def run(self) -> None:
        """Publish one flush after another, until cancelled."""
        while True:
            first = await self._first()
            await self._guarantee.open()
            batches = [first]
            await self._guarantee.add(first)
            deadline = self._clock() + self._guarantee.linger
            records = first.records
            while records < self._flush_records and (more := await self._next(deadline)) is not None:
                batches.append(more)
                records += more.records
                await self._guarantee.add(more)
            confirmed = await self._guarantee.close(batches)
            self._complete(batches, confirmed)

    async def _first(self) -> ScoredBatch:
        while not self._waiting:
            self._arrived.clear()
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                await self._guarantee.idle()
        return self._waiting.popleft()

    async def _next(self, deadline: float) -> ScoredBatch | None:
        """Return the next batch of the open flush as soon as there is one; None when the flush should end."""
        loop = asyncio.get_running_loop()
        while not self._waiting:
            if self._clock() >= deadline or not self._guarantee.accepts_more():
                return None
            self._arrived.clear()
            check = loop.call_later(_CHECK_SECONDS, self._arrived.set)
            await self._arrived.wait()
            check.cancel()
        return self._waiting.popleft()

    def _complete(self, batches: Sequence[ScoredBatch], confirmed: Sequence[ScoredBatch]) -> None:
        """Mark confirmed batches in the ledger, and record metrics."""
        now, at = time.perf_counter(), time.time()
        if events.is_debugging():
            events.FlushConfirmed(self._ranges(confirmed)).emit()
        for scored in confirmed:
            self._ledger.finish(scored.batch)
            batch = scored.batch
            oldest, newest = (batch.oldest(), batch.newest()) if scored.is_awaited else (None, None)
            events.BatchDelivered(now - scored.started, at, len(batch), oldest, newest, scored.codes).emit()
            for span in scored.spans:
                span.end()
        for scored in batches:
            self.release(scored.weight)

    def _ranges(self, batches: Sequence[ScoredBatch]) -> dict[int, list[list[int]]]:
        """Return the offset ranges of batches whose partitions are still owned, by partition, merging adjacent ones."""
        ranges: dict[int, list[list[int]]] = {}
        for batch in (scored.batch for scored in batches if self._ledger.owns(scored.batch)):
            runs = ranges.setdefault(batch.tp.partition, [])
            first = batch.first_offset()
            if runs and runs[-1][1] == first:
                runs[-1][1] = batch.next_offset
            else:
                runs.append([first, batch.next_offset])
        return ranges
