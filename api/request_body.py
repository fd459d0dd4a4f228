"""Reading what a request brings, in bounded memory and time: a whole body, or lines as they come."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api.problem_details import RefusalError
from schemas.records import RECORD_MAX_BYTES

_STEP_BYTES: Final = 65_536
"""So much is read, or decompressed, at once: a small body may stand for a very large one."""
_PAUSES: Final = 6
"""The rate of a stream is looked at over the time of so many pauses."""
_WINDOWS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


async def whole(
    request: web.Request, limit: int, seconds: float, look: Callable[[bytes], object] | None = None
) -> bytes:
    """Return a body of at most `limit` bytes that arrives within `seconds`; raises RefusalError.

    `look` sees each part as it comes, and may raise RefusalError before the rest is read.
    """
    content = request.content
    if content.is_eof() and content.exception() is None and "Content-Encoding" not in request.headers:
        # A small body comes with the headers; to wait for what is there costs as much as to score it.
        body = content.read_nowait()
        if len(body) > limit:
            raise too_large(limit)
        if look is not None:
            look(body)
        return body
    read = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in _parts(request):
                if len(read) + len(part) > limit:
                    raise too_large(limit)
                if look is not None:
                    look(part)
                read += part
    except TimeoutError:
        raise late() from None
    return bytes(read)


def too_large(limit: int) -> RefusalError:
    """Refuse a body; the rest of it is not read."""
    return RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {limit} bytes.", ends_connection=True
    )


def late() -> RefusalError:
    """Refuse a body that takes too long."""
    return RefusalError(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.", ends_connection=True)


def _broken() -> RefusalError:
    return RefusalError(HTTPStatus.BAD_REQUEST, "The body is not what its headers say it is.", ends_connection=True)


async def lines(
    request: web.Request, pause_seconds: float, records_per_second: float
) -> AsyncIterator[tuple[list[bytes], int]]:
    """Yield the lines of a body, all at once that have come, and how many empty ones there were beside them.

    Raises RefusalError for a pause that is too long, and for less than `records_per_second` over some of them: only
    the time counts in which the caller was waited for. A line that is longer than any record may be is cut, to be
    rejected as too large: memory stays bounded.
    """
    rest, clock = b"", asyncio.get_running_loop().time
    parts, waited, records = _parts(request), 0.0, 0
    while True:
        began = clock()
        if not (part := await _within(pause_seconds, parts)):
            break
        waited += clock() - began
        if waited > pause_seconds * _PAUSES:
            if records < records_per_second * waited:
                raise late()
            waited, records = 0.0, 0
        *ready, rest = (rest + part).split(b"\n")
        rest = rest[: RECORD_MAX_BYTES + 1]
        found = [line for line in ready if line and not line.isspace()]
        records += len(found)
        yield found, len(ready) - len(found)
    if rest.strip():
        yield [rest], 0


async def _within(seconds: float, parts: AsyncIterator[bytes]) -> bytes:
    """Return the next part, empty at the end; raises RefusalError where none comes in time."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(parts, b"")
    except TimeoutError:
        raise late() from None


async def _parts(request: web.Request) -> AsyncIterator[bytes]:
    """Yield a body as it comes and as it is meant, decompressed; others have their turn after each part."""
    inflate = _inflater(request)
    try:
        while part := await request.content.readany():
            for step in inflate.steps(part):
                yield step
                await asyncio.sleep(0)
        inflate.finish()
    except (web.RequestPayloadError, zlib.error):
        raise _broken() from None


class _Plain:
    """A body that is sent as it is."""

    def steps(self, part: bytes) -> Iterator[bytes]:
        """Yield it."""
        yield part

    def finish(self) -> None:
        """Do nothing."""


class _Inflater:
    """Decompresses a body, some of it at a time."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)

    def steps(self, part: bytes) -> Iterator[bytes]:
        """Yield what a part stands for; raises zlib.error."""
        while part:
            if self._stream.eof:
                self._stream = zlib.decompressobj(self._window)
            if found := self._stream.decompress(part, _STEP_BYTES):
                yield found
            part = self._stream.unconsumed_tail or self._stream.unused_data

    def finish(self) -> None:
        """Raise zlib.error where the end is missing."""
        if not self._stream.eof:
            raise zlib.error


def _inflater(request: web.Request) -> _Plain | _Inflater:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return _Plain()
    if encoding not in _WINDOWS:
        detail = f"The body may be sent as it is, or with Content-Encoding {' or '.join(_WINDOWS)}."
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            detail,
            ends_connection=True,
            headers={"Accept-Encoding": ", ".join(_WINDOWS)},
        )
    return _Inflater(_WINDOWS[encoding])
