"""The bounded queue from the consumer thread to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Final

from worker.kafka.batch import Bundle, RecordBatch

_LIMIT_BYTES: Final = 64 * 1024 * 1024
_LIMIT_BATCHES: Final = 8
"""Beyond this, records wait in the client instead, where small batches grow into larger ones."""
_BUNDLE_RECORDS: Final = 500
"""A bundle costs about 0.3 ms whatever its size, so small batches share one. Larger ones would not gain."""


class BatchQueue:
    """Passes batches from a thread to a coroutine.

    It is full at `limit` records, 64 MiB or eight batches, and accepts more again at half of that, so that the thread
    does not stop and start with each batch.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        """`limit` is in records; the batch that reaches it is still accepted."""
        self._loop = loop
        self._limit = limit
        self._bundle_limit = min(_BUNDLE_RECORDS, limit // 2)
        self._batches: deque[tuple[RecordBatch, int]] = deque()
        self._records = 0
        self._bytes = 0
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()

    def put(self, batch: RecordBatch) -> None:
        """Add a batch; called by the consumer thread, never blocks."""
        size = batch.size()
        with self._changed:
            was_empty = not self._batches
            self._batches.append((batch, size))
            self._records += len(batch)
            self._bytes += size
        # If the queue was not empty, the event loop has already been notified.
        if was_empty:
            self._loop.call_soon_threadsafe(self._arrived.set)

    def is_full(self) -> bool:
        """Whether the limit is reached."""
        with self._changed:
            return self._records >= self._limit or self._bytes >= _LIMIT_BYTES or len(self._batches) >= _LIMIT_BATCHES

    def wait_for_room(self, timeout: float) -> bool:
        """Wait, in the consumer thread, until half the limit is free; False after `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(self._has_room, timeout)

    def _has_room(self) -> bool:
        return (
            self._records <= self._limit // 2
            and self._bytes <= _LIMIT_BYTES // 2
            and len(self._batches) <= _LIMIT_BATCHES // 2
        )

    async def take(self) -> Bundle:
        """Wait for a batch; return the oldest one, together with others if all are small. For a single coroutine."""
        while not (bundle := self._pop()):
            await self._arrived.wait()
        return bundle

    def _pop(self) -> Bundle:
        self._arrived.clear()
        bundle: list[RecordBatch] = []
        records = 0
        with self._changed:
            while self._batches and (not bundle or records + len(self._batches[0][0]) <= self._bundle_limit):
                batch, size = self._batches.popleft()
                bundle.append(batch)
                records += len(batch)
                self._bytes -= size
            self._records -= records
            self._changed.notify_all()
        return tuple(bundle)
