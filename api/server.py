"""aiohttp's server, whose own error responses quote nothing of the request and disclose no version."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from api import problem_details

_READ_BYTES: Final = 16_384
NAME: Final = "heartstream"
"""The `Server` header; by default it discloses the versions of Python and aiohttp."""


def set_common_headers(response: web.StreamResponse) -> None:
    """Set the headers that every response has: no caching, unless its handler allows it, and no MIME sniffing."""
    headers = response.headers
    headers["Server"] = NAME
    headers.setdefault("Cache-Control", "no-store")
    headers["X-Content-Type-Options"] = "nosniff"


class _GatewayHandler(web.RequestHandler):
    """Refuses malformed HTTP without quoting it: patient data can be where a header should be."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read less at once than asyncio does: a body in chunks of one byte takes 0.2 ms per kilobyte to parse."""
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
        """Return a problem document, and close the connection after it."""
        return _final_response(problem_details.from_status(HTTPStatus(status), problem_details.error_response))

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send a response. aiohttp's errors before any middleware, as for an unknown `Expect`, quote the request."""
        # Only the first check is cheap: HTTPException is an abstract class.
        if type(resp) is not web.Response and isinstance(resp, web.HTTPException):
            resp = _final_response(problem_details.from_http_exception(resp, problem_details.error_response))
        return super().finish_response(request, resp, start_time)


def _final_response(response: web.Response) -> web.Response:
    """Close the connection after a response that no middleware sees."""
    response.force_close()
    set_common_headers(response)
    return response


class _GatewayServer(web.Server):
    """A server whose connections are handled by `_GatewayHandler`."""

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return _GatewayHandler(self, loop=self._loop, **self._kwargs)


class GatewayRunner(web.AppRunner):
    """A runner of `_GatewayServer`, made from the server that aiohttp would run."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        default = await super()._make_server()
        return _GatewayServer(
            default.request_handler,
            request_factory=default.request_factory,
            loop=default._loop,  # noqa: SLF001
            **default._kwargs,  # noqa: SLF001
        )


async def close_listener(site: web.TCPSite) -> None:
    """Stop accepting connections; those already accepted are served.

    asyncio forgets a connection that it accepts in the same turn of the event loop in which its server is closed: it
    neither reads nor closes it, and the client waits until the process ends.
    """
    loop = asyncio.get_running_loop()
    for listening in getattr(site._server, "sockets", ()):  # noqa: SLF001  # aiohttp cannot pause a site
        loop.remove_reader(listening.fileno())
    # A connection accepted in this turn gets its transport in the next one.
    await asyncio.sleep(0)
    await site.stop()
