"""Graceful shutdown: fail readiness, finish the requests under way, end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from api.server import set_headers


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

    def enter(self) -> None:
        """Count a POST that begins."""
        self._under_way += 1

    def leave(self) -> None:
        """Count a POST that is answered."""
        self._under_way -= 1
        if self._has_begun and not self._under_way:
            self._idle.set()

    async def finish(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Set the headers of an answer, and end the connection if it is time; called before it goes out."""
        set_headers(response)
        if self._has_begun:
            response.force_close()
            response.headers["Connection"] = "close"
