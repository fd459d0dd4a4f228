"""Reading what a request brings, in bounded memory and time: a whole body, or lines as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

from aiohttp import web

from api.problems import RefusalError
from schemas.records import RECORD_MAX_BYTES


async def whole(request: web.Request, limit: int, seconds: float) -> bytes:
    """Return a body of at most `limit` bytes that arrives within `seconds`; raises RefusalError."""
    if request.content.is_eof() and request.content.exception() is None:
        # A small body comes with the headers; to wait for what is there costs as much as to score it.
        body = request.content.read_nowait()
        if len(body) > limit:
            raise too_large(limit)
        return body
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.content.iter_any():
                size += len(part)
                if size > limit:
                    raise too_large(limit)
                parts.append(part)
    except TimeoutError:
        raise _late() from None
    except web.RequestPayloadError:
        raise _broken() from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(limit: int) -> RefusalError:
    """Refuse a body; the rest of it is not read."""
    return RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.", ends_connection=True
    )


def _late() -> RefusalError:
    return RefusalError(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.", ends_connection=True)


def _broken() -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, "The body is not what its headers say it is.", ends_connection=True)


async def lines(request: web.Request, pause_seconds: float) -> AsyncIterator[list[bytes]]:
    """Yield the lines of a body, all at once that have come; empty ones are left out. Raises RefusalError.

    A line that is longer than any record may be is cut, to be rejected as too large: memory stays bounded.
    """
    rest = b""
    while True:
        part = await _next_part(request, pause_seconds)
        if not part:
            break
        *ready, rest = (rest + part).split(b"\n")
        rest = rest[: RECORD_MAX_BYTES + 1]
        if found := [line for line in ready if line.strip()]:
            yield found
    if rest.strip():
        yield [rest]


async def _next_part(request: web.Request, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await request.content.readany()
    except TimeoutError:
        raise _late() from None
    except web.RequestPayloadError:
        raise _broken() from None
