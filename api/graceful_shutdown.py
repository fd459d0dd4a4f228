"""Graceful shutdown: fail readiness, finish the requests in flight, exit."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from api.server import set_common_headers


class GracefulShutdown:
    """Whether the gateway is stopping: `/health/ready` fails, and each response closes its connection."""

    def __init__(self) -> None:
        self._has_begun = False
        self._in_flight = 0
        self._idle = asyncio.Event()

    def begin(self) -> None:
        """Start the shutdown."""
        self._has_begun = True

    async def drained(self, seconds: float) -> None:
        """Wait until no POST is in flight, at most `seconds`; bodies and lines still arrive meanwhile."""
        if self._in_flight:
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()

    def problem(self) -> str | None:
        """Return why the gateway is not ready, for `/health/ready`."""
        return "shutting down" if self._has_begun else None

    def request_started(self) -> None:
        """Count a POST."""
        self._in_flight += 1

    def request_finished(self) -> None:
        """Count a POST as answered."""
        self._in_flight -= 1
        if self._has_begun and not self._in_flight:
            self._idle.set()

    async def prepare_response(self, _request: web.Request, response: web.StreamResponse) -> None:
        """Set the common headers, and close the connection during a shutdown; aiohttp calls it for each response."""
        set_common_headers(response)
        if self._has_begun:
            response.force_close()
            response.headers["Connection"] = "close"
