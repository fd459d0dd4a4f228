"""aiohttp's server, with what it answers by itself made safe: nothing of a request is quoted, no version is told."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web

from api import problems

NAME: Final = "heartstream"
"""What `Server` says; by default it tells the versions of Python and aiohttp."""


async def tell_name(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell only the product's name; called before an answer goes out."""
    response.headers["Server"] = NAME


class _QuietHandler(web.RequestHandler):
    """Answers what is not even HTTP without quoting it: a patient's record can stand where a header should."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Return a problem document and end the connection."""
        response = problems.plain(HTTPStatus(status), HTTPStatus(status).description or HTTPStatus(status).phrase)
        response.force_close()
        response.headers["Server"] = NAME
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
