"""The memory of requests under way: bodies while they arrive, answers until they are taken, one large batch at work.

What a request is about to take is asked for before it is taken, and refused with 503 where it is not there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api.problem_details import RefusalError
from api.security.auth import caller_of

_SHARE: Final = 0.5
"""So much of it one caller may hold."""
_RETRY_SECONDS: Final = 1.0
_HELD: Final = web.RequestKey("held", list)


class Memory:
    """Counts the bytes of bodies and answers in flight, all in all and for each caller."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes."""
        self._limit = limit
        self._used = 0
        self._by_caller: Counter[str] = Counter()
        self._working = asyncio.Lock()

    def hold(self, request: web.Request, size: int) -> None:
        """Count more bytes for a request, until it is released; raises RefusalError (503) if there is no room."""
        caller = caller_of(request)
        if self._used + size > self._limit or self._by_caller[caller] + size > self._limit * _SHARE:
            raise _full()
        held: list[int] = request.setdefault(_HELD, [0])
        held[0] += size
        self._used += size
        self._by_caller[caller] += size

    def release(self, request: web.Request) -> None:
        """Count what a request held no more."""
        # Where nobody holds anything, as with single records, it is not worth a look-up.
        if not self._used or (held := request.get(_HELD)) is None:
            return
        caller = caller_of(request)
        self._used -= held[0]
        self._by_caller[caller] -= held[0]
        if not self._by_caller[caller]:
            del self._by_caller[caller]
        held[0] = 0

    @asynccontextmanager
    async def working(self, seconds: float) -> AsyncIterator[None]:
        """Work on one large batch at a time, as what is made of it is much larger; raises RefusalError (503)."""
        try:
            async with asyncio.timeout(seconds):
                await self._working.acquire()
        except TimeoutError:
            raise _full() from None
        try:
            yield
        finally:
            self._working.release()


def _full() -> RefusalError:
    return RefusalError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The requests under way, or this caller's, hold all the memory there is for them; nothing was scored.",
        retry_seconds=_RETRY_SECONDS,
        ends_connection=True,
    )
