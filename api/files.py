"""Answers that never change: documents and the files of pages."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler


def fixed(body: bytes, content_type: str, headers: Mapping[str, str]) -> Handler:
    """Return a handler that gives the same answer to everybody; a browser asks whether its copy is still good."""
    every = {"Cache-Control": "no-cache", **headers}

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=every)

    return answer
