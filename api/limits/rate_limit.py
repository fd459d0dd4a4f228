"""Who may come in now: a bound on what is under way, and on what one caller sends."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web

from api.problem_details import RefusalError

_REMEMBERED: Final = 10_000
"""Callers whose use is remembered; the one that was seen longest ago is forgotten, and begins with a full bucket."""
_RETRY_SECONDS: Final = 1.0
_BYTES_OF_A_TOKEN: Final = 4096


class Admission:
    """Counts requests under way, and keeps a token bucket for each caller; a token is a record."""

    def __init__(
        self,
        most: int,
        most_streams: int,
        records_per_second: float,
        burst: int,
        caller: Callable[[web.BaseRequest], str],
        clock: Callable[[], float],
    ) -> None:
        """`most_streams` is each caller's; `records_per_second` 0 switches the buckets off; `caller` names who asks."""
        self._most = most
        self._most_streams = most_streams
        self._streams: Counter[str] = Counter()
        self._rate = records_per_second
        self._burst = burst
        self._caller = caller
        self._clock = clock
        self._under_way = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def enter(self) -> None:
        """Let a request in; raises RefusalError (503) when too many are under way."""
        if self._under_way >= self._most:
            raise RefusalError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many requests are under way; nothing was scored.",
                retry_seconds=_RETRY_SECONDS,
                ends_connection=True,
            )
        self._under_way += 1

    def leave(self) -> None:
        """Note that a request is answered."""
        self._under_way -= 1

    @contextmanager
    def streaming(self, request: web.BaseRequest) -> Iterator[None]:
        """Let a stream of lines in while the context lasts; raises RefusalError (429) when its caller has enough."""
        caller = self._caller(request)
        if self._streams[caller] >= self._most_streams:
            raise RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"This caller has {self._most_streams} streams of lines already; nothing was scored.",
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
        """Take a token for each 4 KB of a body, before it is worked on: also what is no record at all has its price.

        Returns how many were taken. Of well-formed records there are always more. Raises RefusalError (429).
        """
        if not self._rate:
            return 0
        records = min(1 + size // _BYTES_OF_A_TOKEN, self._burst)
        self.charge(request, records)
        return records

    def charge(self, request: web.BaseRequest, records: int, paid: int = 0) -> None:
        """Take tokens from the caller's bucket, less those that it has `paid`; raises RefusalError (429)."""
        if not self._rate:
            return
        if records > self._burst:
            detail = f"More than {self._burst} records came at once; send less, or as lines."
            raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        seconds = self._take(request, max(0, records - paid))
        if seconds:
            raise RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS, "This caller sends too much; nothing was scored.", retry_seconds=seconds
            )

    async def wait(self, request: web.BaseRequest, records: int) -> None:
        """Take tokens from the caller's bucket, some at a time; wait until they are there."""
        while self._rate and records:
            part = min(records, self._burst)
            while seconds := self._take(request, part):  # noqa: ASYNC110  # it is time that is waited for
                await asyncio.sleep(seconds)
            records -= part

    def _take(self, request: web.BaseRequest, records: int) -> float:
        """Take tokens and return 0, or return in how many seconds there will be enough."""
        caller, now = self._caller(request), self._clock()
        tokens, seen = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - seen) * self._rate)
        missing = max(0.0, records - tokens)
        self._buckets[caller] = (tokens if missing else tokens - records, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return missing / self._rate
