"""Work on the event loop in turns: a few milliseconds for one request, then everybody else, then the next.

One piece of work runs in each round of the event loop, however many requests have some to do: between two of them
sockets are read, probes are answered and small requests are scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

SLICE_RECORDS: Final = 128
SLICE_BYTES: Final = 65_536
"""What is scored in one turn. A rejected record takes up to 60 µs, one of 64 KB that is made to be slow 6 ms."""
_Result = TypeVar("_Result")


class Turns:
    """Runs pieces of work one after another, in the order in which they come."""

    def __init__(self) -> None:
        self._busy = asyncio.Lock()

    async def run(self, work: Callable[..., _Result], *given: object) -> _Result:
        """Return what `work` makes of what is `given`, or raise what it raises; then let the event loop go round."""
        async with self._busy:
            try:
                return work(*given)
            finally:
                await asyncio.sleep(0)


def slices(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield consecutive records for one turn each: at least one, and no more than a slice may hold."""
    start = size = 0
    for place, record in enumerate(records):
        if place > start and (place - start == SLICE_RECORDS or size + len(record) > SLICE_BYTES):
            yield records[start:place]
            start, size = place, 0
        size += len(record)
    if start < len(records):
        yield records[start:]
