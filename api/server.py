"""aiohttp's server, with what it answers by itself made safe: nothing of a request is quoted, no version is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from api import problem_details

_READ_BYTES: Final = 16_384
NAME: Final = "heartstream"
"""What `Server` says; by default it tells the versions of Python and aiohttp."""


def set_headers(response: web.StreamResponse) -> None:
    """Set the headers that every answer has.

    They keep it out of caches, unless its handler chose otherwise, and from being taken for another type.
    """
    headers = response.headers
    headers["Server"] = NAME
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Content-Type-Options"] = "nosniff"


class _QuietHandler(web.RequestHandler):
    """Answers what is not even HTTP without quoting it: a patient's record can stand where a header should."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read less at once than asyncio does: a body in chunks of one byte takes 0.2 ms a kilobyte to take apart."""
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Return a problem document and end the connection."""
        return _last(problem_details.of_status(HTTPStatus(status), problem_details.plain))

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer. What aiohttp refuses before any middleware is called, as an unknown `Expect`, it quotes."""
        # The first check is cheap; that of a class with an abstract base is not.
        if type(resp) is not web.Response and isinstance(resp, web.HTTPException):
            resp = _last(problem_details.of_aiohttp(resp, problem_details.plain))
        return super().finish_response(request, resp, start_time)


def _last(response: web.Response) -> web.Response:
    """End the connection with an answer that no middleware sees."""
    response.force_close()
    set_headers(response)
    return response


class _QuietServer(web.Server):
    """A server whose connections are handled by `_QuietHandler`."""

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return _QuietHandler(self, loop=self._loop, **self._kwargs)


class QuietRunner(web.AppRunner):
    """A runner of `_QuietServer`, made from the server that aiohttp would run."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        usual = await super()._make_server()
        return _QuietServer(
            usual.request_handler,
            request_factory=usual.request_factory,
            loop=usual._loop,  # noqa: SLF001
            **usual._kwargs,  # noqa: SLF001
        )
