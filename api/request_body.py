"""Reading request bodies in bounded memory and time: a whole body, or NDJSON lines as they arrive."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api.problem_details import ProblemError
from schemas.records import RECORD_MAX_BYTES

_CHUNK_BYTES: Final = 65_536
"""The most that is read or decompressed at once: a small body may decompress to a very large one."""
_RATE_WINDOW_TIMEOUTS: Final = 6
"""The rate of a stream is measured over this many times its timeout."""
_WINDOW_BITS: Final = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


async def read_body(
    request: web.Request, limit: int, seconds: float, inspect: Callable[[bytes], object] | None = None
) -> bytes:
    """Return a body of at most `limit` bytes that arrives within `seconds`; raises ProblemError.

    `inspect` gets each part as it arrives, and may raise ProblemError before the rest is read.
    """
    content = request.content
    if content.is_eof() and content.exception() is None and "Content-Encoding" not in request.headers:
        # A small body arrives with the headers; awaiting what is there costs as much as scoring it.
        body = content.read_nowait()
        if len(body) > limit:
            raise body_too_large(limit)
        if inspect is not None:
            inspect(body)
        return body
    read = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in _parts(request):
                if len(read) + len(part) > limit:
                    raise body_too_large(limit)
                if inspect is not None:
                    inspect(part)
                read += part
    except TimeoutError:
        raise body_timeout() from None
    return bytes(read)


def body_too_large(limit: int) -> ProblemError:
    """Return the error for a body over the limit, the rest of which is not read."""
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Request body too large: at most {limit} bytes.", ends_connection=True
    )


def body_timeout() -> ProblemError:
    """Return the error for a body that arrives too slowly."""
    return ProblemError(HTTPStatus.REQUEST_TIMEOUT, "Timed out waiting for the request body.", ends_connection=True)


def _malformed_body() -> ProblemError:
    return ProblemError(
        HTTPStatus.BAD_REQUEST,
        "Malformed request body: it does not match its Content-Length, Transfer-Encoding or Content-Encoding.",
        ends_connection=True,
    )


async def read_lines(
    request: web.Request, timeout_seconds: float, records_per_second: float
) -> AsyncIterator[tuple[list[bytes], int]]:
    """Yield the lines of a body as they arrive, with the number of empty lines between them.

    Raises ProblemError after a pause of `timeout_seconds`, and for an average below `records_per_second`; only time
    spent waiting for the client counts. A line longer than the largest record is truncated, to be rejected as too
    large: memory stays bounded.
    """
    rest, clock = b"", asyncio.get_running_loop().time
    parts, waited, records = _parts(request), 0.0, 0
    while True:
        started = clock()
        if not (part := await _next_part(timeout_seconds, parts)):
            break
        waited += clock() - started
        if waited > timeout_seconds * _RATE_WINDOW_TIMEOUTS:
            if records < records_per_second * waited:
                raise body_timeout()
            waited, records = 0.0, 0
        *complete, rest = (rest + part).split(b"\n")
        rest = rest[: RECORD_MAX_BYTES + 1]
        found = [line for line in complete if line and not line.isspace()]
        records += len(found)
        yield found, len(complete) - len(found)
    if rest.strip():
        yield [rest], 0


async def _next_part(seconds: float, parts: AsyncIterator[bytes]) -> bytes:
    """Return the next part, empty at the end; raises ProblemError on timeout."""
    try:
        async with asyncio.timeout(seconds):
            return await anext(parts, b"")
    except TimeoutError:
        raise body_timeout() from None


async def _parts(request: web.Request) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, decompressed; the event loop runs others after each part."""
    decoder = _new_decoder(request)
    try:
        while part := await request.content.readany():
            for chunk in decoder.decode(part):
                yield chunk
                await asyncio.sleep(0)
        decoder.finish()
    except (web.RequestPayloadError, zlib.error):
        raise _malformed_body() from None


class _IdentityDecoder:
    """Passes on a body that is not compressed."""

    def decode(self, part: bytes) -> Iterator[bytes]:
        """Yield the part as it is."""
        yield part

    def finish(self) -> None:
        """Do nothing."""


class _ZlibDecoder:
    """Decompresses a body incrementally."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._stream = zlib.decompressobj(window_bits)

    def decode(self, part: bytes) -> Iterator[bytes]:
        """Yield the decompressed part in chunks; raises zlib.error."""
        while part:
            if self._stream.eof:
                self._stream = zlib.decompressobj(self._window_bits)
            if found := self._stream.decompress(part, _CHUNK_BYTES):
                yield found
            part = self._stream.unconsumed_tail or self._stream.unused_data

    def finish(self) -> None:
        """Raise zlib.error if the body is truncated."""
        if not self._stream.eof:
            raise zlib.error


def _new_decoder(request: web.Request) -> _IdentityDecoder | _ZlibDecoder:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return _IdentityDecoder()
    if encoding not in _WINDOW_BITS:
        detail = f"Unsupported Content-Encoding; supported: {', '.join(_WINDOW_BITS)}, identity."
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            detail,
            ends_connection=True,
            headers={"Accept-Encoding": ", ".join(_WINDOW_BITS)},
        )
    return _ZlibDecoder(_WINDOW_BITS[encoding])
