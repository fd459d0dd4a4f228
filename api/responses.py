"""Responses that never change, and large ones, which are written in parts to clients that read them in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

_CHUNK_BYTES: Final = 65_536


async def send(
    request: web.Request, parts: Sequence[bytes], content_type: str, pause_seconds: float, seconds: float
) -> web.StreamResponse:
    """Send a response in these parts.

    A client that reads nothing for `pause_seconds`, or not everything within `seconds`, is disconnected; it knows from
    Content-Length that the response is incomplete.
    """
    size = sum(map(len, parts))
    if size <= _CHUNK_BYTES:
        return web.Response(body=b"".join(parts), content_type=content_type)
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.content_length = size
    await response.prepare(request)
    try:
        async with asyncio.timeout(seconds):
            for chunk in _chunks(parts):
                async with asyncio.timeout(pause_seconds):
                    await response.write(chunk)
                await asyncio.sleep(0)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks that are small enough for a socket."""
    for part in parts:
        for start in range(0, len(part), _CHUNK_BYTES):
            yield part[start : start + _CHUNK_BYTES]


def static_response(body: bytes, content_type: str, headers: Mapping[str, str]) -> Handler:
    """Return a handler whose response is always the same; browsers revalidate their copy."""
    all_headers = {"Cache-Control": "no-cache", **headers}

    async def respond(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=all_headers)

    return respond
