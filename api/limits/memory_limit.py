"""The memory of requests in flight: bodies as they arrive, responses until they are read, one large batch at a time.

Memory is reserved before it is allocated; a request for which there is none gets 503.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api.problem_details import ProblemError
from api.security.auth import caller_name

_MAX_CALLER_SHARE: Final = 0.5
"""The share that one caller may use."""
_RETRY_SECONDS: Final = 1.0
_RESERVED: Final = web.RequestKey("reserved", list)


class MemoryLimit:
    """Counts the bytes of bodies and responses in flight, in total and per caller."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes."""
        self._limit = limit
        self._used = 0
        self._by_caller: Counter[str] = Counter()
        self._exclusive_lock = asyncio.Lock()

    def reserve(self, request: web.Request, size: int) -> None:
        """Reserve more bytes for a request, until its release; raises ProblemError (503) if the budget is exhausted."""
        if not size:
            return
        caller = caller_name(request)
        if self._used + size > self._limit or self._by_caller[caller] + size > self._limit * _MAX_CALLER_SHARE:
            raise _full()
        reserved: list[int] = request.setdefault(_RESERVED, [0])
        reserved[0] += size
        self._used += size
        self._by_caller[caller] += size

    def release(self, request: web.Request) -> None:
        """Release what a request has reserved."""
        # With nothing reserved, as for single records, skip the look-up.
        if not self._used or (reserved := request.get(_RESERVED)) is None:
            return
        caller = caller_name(request)
        self._used -= reserved[0]
        self._by_caller[caller] -= reserved[0]
        if not self._by_caller[caller]:
            del self._by_caller[caller]
        reserved[0] = 0

    @asynccontextmanager
    async def exclusive(self, seconds: float) -> AsyncIterator[None]:
        """Process one large batch at a time, as its objects are much larger; raises ProblemError (503) on timeout."""
        try:
            async with asyncio.timeout(seconds):
                await self._exclusive_lock.acquire()
        except TimeoutError:
            raise _full() from None
        try:
            yield
        finally:
            self._exclusive_lock.release()


def _full() -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The memory limit for requests in progress, or for those of this caller, is reached; nothing was scored.",
        retry_seconds=_RETRY_SECONDS,
        ends_connection=True,
    )
