"""Graceful shutdown: fail readiness, finish the requests under way, end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Leaving:
    """Whether the gateway is about to stop. Callers learn it from `/health/ready`, and from each answer's end."""

    def __init__(self) -> None:
        self._has_begun = False
        self._under_way = 0
        self._idle = asyncio.Event()

    def begin(self) -> None:
        """Say from now on that it is leaving."""
        self._has_begun = True

    async def drained(self, seconds: float) -> None:
        """Wait until no POST is under way, for so long at most; bodies and lines still arrive meanwhile."""
        if self._under_way:
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()

    def problem(self) -> str | None:
        """Say what is not well, for `/health/ready`."""
        return "stopping" if self._has_begun else None

    @property
    def counting(self) -> Middleware:
        """A middleware that counts the POSTs under way."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method != "POST":
                return await handler(request)
            self._under_way += 1
            try:
                return await handler(request)
            finally:
                self._under_way -= 1
                if self._has_begun and not self._under_way:
                    self._idle.set()

        return count

    async def hang_up(self, _request: web.Request, response: web.StreamResponse) -> None:
        """End the connection with this answer, if it is time; called before an answer goes out."""
        if self._has_begun:
            response.force_close()
            response.headers["Connection"] = "close"
