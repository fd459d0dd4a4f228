"""Cooperative scheduling: large requests do their work in slices of a few milliseconds on the event loop.

One slice runs per iteration of the event loop, however many requests have work to do: in between, sockets are read,
probes are answered and small requests are scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

SLICE_RECORDS: Final = 128
SLICE_BYTES: Final = 65_536
"""What is scored in one slice. A rejected record takes up to 60 µs; one of 64 KB that is crafted to be slow, 6 ms."""
_Result = TypeVar("_Result")


class TimeSlicer:
    """Runs slices of work one after another, first come, first served."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def run(self, work: Callable[..., _Result], *args: object) -> _Result:
        """Return `work(*args)`, or raise what it raises; then yield to the event loop."""
        async with self._lock:
            try:
                return work(*args)
            finally:
                await asyncio.sleep(0)


def split_records(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield consecutive records for one slice each: at least one, and no more than the limits of a slice."""
    start = size = 0
    for index, record in enumerate(records):
        if index > start and (index - start == SLICE_RECORDS or size + len(record) > SLICE_BYTES):
            yield records[start:index]
            start, size = index, 0
        size += len(record)
    if start < len(records):
        yield records[start:]
