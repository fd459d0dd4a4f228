"""aiohttp's server, with what it answers by itself made safe: nothing of a request is quoted, no version is told."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api import problems
from api.browsers import protect

_READ_BYTES: Final = 16_384
NAME: Final = "heartstream"
"""What `Server` says; by default it tells the versions of Python and aiohttp."""


async def finish_headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Set the headers that every answer has; called before an answer goes out."""
    _finish(response)


def _finish(response: web.StreamResponse) -> None:
    response.headers["Server"] = NAME
    protect(response)


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
        response = problems.of_status(HTTPStatus(status), problems.plain)
        response.force_close()
        _finish(response)
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

        async def handled(request: web.BaseRequest) -> web.StreamResponse:
            # What aiohttp refuses before any middleware is called, such as an unknown `Expect`, it quotes.
            try:
                return await usual.request_handler(request)
            except web.HTTPException as error:
                response = problems.of_aiohttp(error, problems.plain)
                response.force_close()
                _finish(response)
                return response

        return _QuietServer(
            handled,
            request_factory=usual.request_factory,
            loop=usual._loop,  # noqa: SLF001
            **usual._kwargs,  # noqa: SLF001
        )
