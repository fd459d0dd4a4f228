"""Rate limiting: bounds on requests in flight, on streams of a caller, and on the records that a caller sends."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api.problem_details import ProblemError

_MAX_BUCKETS: Final = 10_000
"""Callers with a bucket; the least recently seen one is evicted, and starts with a full bucket when it returns."""
_RETRY_SECONDS: Final = 1.0
_BYTES_PER_TOKEN: Final = 4096


class RateLimit:
    """Counts requests in flight, and has a token bucket for each caller; a token is a record."""

    def __init__(
        self,
        max_in_flight: int,
        max_streams: int,
        records_per_second: float,
        burst: int,
        caller: Callable[[web.BaseRequest], str],
        clock: Callable[[], float],
    ) -> None:
        """`max_streams` is per caller; `records_per_second` 0 disables the buckets; `caller` names the caller."""
        self._max_in_flight = max_in_flight
        self._max_streams = max_streams
        self._streams: Counter[str] = Counter()
        self._rate = records_per_second
        self._burst = burst
        self._caller = caller
        self._clock = clock
        self._in_flight = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self) -> None:
        """Admit a request; raises ProblemError (503) when too many are in flight."""
        if self._in_flight >= self._max_in_flight:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many requests are in progress; nothing was scored.",
                retry_seconds=_RETRY_SECONDS,
                ends_connection=True,
            )
        self._in_flight += 1

    def release(self) -> None:
        """Count a request as finished."""
        self._in_flight -= 1

    @contextmanager
    def stream(self, request: web.BaseRequest) -> Iterator[None]:
        """Admit a stream while the context lasts; raises ProblemError (429) when its caller has too many."""
        caller = self._caller(request)
        if self._streams[caller] >= self._max_streams:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"Too many streams: at most {self._max_streams} per caller; nothing was scored.",
                retry_seconds=_RETRY_SECONDS,
                ends_connection=True,
            )
        self._streams[caller] += 1
        try:
            yield
        finally:
            self._streams[caller] -= 1
            if not self._streams[caller]:
                del self._streams[caller]

    def charge_body(self, request: web.BaseRequest, size: int) -> int:
        """Take a token for each 4 KB of a body before it is parsed: invalid bodies are charged too.

        Returns how many were taken; well-formed records always cost more. Raises ProblemError (429).
        """
        if not self._rate:
            return 0
        records = min(1 + size // _BYTES_PER_TOKEN, self._burst)
        self.charge(request, records)
        return records

    def charge(self, request: web.BaseRequest, records: int, charged: int = 0) -> None:
        """Take tokens from the caller's bucket, less those already `charged`; raises ProblemError (429)."""
        if not self._rate:
            return
        if records > self._burst:
            detail = (
                f"Too many records: at most {self._burst} records per request; send fewer, or stream them as NDJSON."
            )
            raise ProblemError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        seconds = self._take(request, max(0, records - charged))
        if seconds:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS, "Rate limit exceeded; nothing was scored.", retry_seconds=seconds
            )

    async def wait(self, request: web.BaseRequest, records: int) -> None:
        """Take tokens from the caller's bucket, waiting until there are enough."""
        while self._rate and records:
            part = min(records, self._burst)
            while seconds := self._take(request, part):  # noqa: ASYNC110  # only time can fill the bucket
                await asyncio.sleep(seconds)
            records -= part

    def _take(self, request: web.BaseRequest, records: int) -> float:
        """Take tokens and return 0, or return the seconds until there are enough."""
        caller, now = self._caller(request), self._clock()
        tokens, updated_at = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - updated_at) * self._rate)
        missing = max(0.0, records - tokens)
        self._buckets[caller] = (tokens if missing else tokens - records, now)
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return missing / self._rate
