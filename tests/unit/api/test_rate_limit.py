"""Rate limiting and load shedding: concurrent requests are bounded, and each caller has its own bucket."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

import pytest
from aiohttp import web

from api.limits.rate_limit import Admission
from api.problem_details import RefusalError, plain

ALICE, BOB = (cast("web.BaseRequest", name) for name in ("alice", "bob"))


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def admission(clock: Clock, most: int = 2, rate: float = 10, burst: int = 20) -> Admission:
    return Admission(most, 2, rate, burst, lambda request: cast("Any", request), clock)


def test_more_than_the_most_are_refused_until_one_leaves() -> None:
    """Requests beyond the limit get 503 with Retry-After until another one ends."""
    interfaces = admission(Clock())
    interfaces.enter()
    interfaces.enter()
    with pytest.raises(RefusalError) as caught:
        interfaces.enter()
    assert (caught.value.status, caught.value.response(plain).headers["Retry-After"]) == (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "2",
    )
    interfaces.leave()
    interfaces.enter()


def test_a_bucket_fills_with_time() -> None:
    """A burst is accepted at once; then records are accepted at the rate."""
    clock = Clock()
    interfaces = admission(clock)
    interfaces.charge(ALICE, 20)
    with pytest.raises(RefusalError) as caught:
        interfaces.charge(ALICE, 5)
    assert (caught.value.status, caught.value.retry_seconds) == (HTTPStatus.TOO_MANY_REQUESTS, 0.5)
    clock.now += 0.5
    interfaces.charge(ALICE, 5)
    with pytest.raises(RefusalError):
        interfaces.charge(ALICE, 1)


def test_callers_do_not_share_a_bucket() -> None:
    """A caller that sends too much takes no tokens from another."""
    interfaces = admission(Clock())
    interfaces.charge(ALICE, 20)
    interfaces.charge(BOB, 20)


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    """Tokens do not accumulate over an idle night."""
    clock = Clock()
    interfaces = admission(clock)
    clock.now += 36_000
    interfaces.charge(ALICE, 20)
    with pytest.raises(RefusalError):
        interfaces.charge(ALICE, 1)


def test_more_than_a_burst_at_once_never_fits() -> None:
    """Such a request gets 413 instead of a time to retry."""
    with pytest.raises(RefusalError) as caught:
        admission(Clock()).charge(ALICE, 21)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_rate_zero_is_no_limit() -> None:
    """The default is no rate limit."""
    admission(Clock(), rate=0).charge(ALICE, 1_000_000)


async def test_a_stream_waits_for_its_tokens() -> None:
    """Lines are slowed down to the rate instead of refused; more than a burst is waited for in parts."""
    interfaces = Admission(1, 1, 1000, 20, lambda request: cast("Any", request), asyncio.get_running_loop().time)
    begin = asyncio.get_running_loop().time()
    await interfaces.wait(ALICE, 70)
    assert asyncio.get_running_loop().time() - begin >= 0.05


def test_one_caller_has_so_many_streams() -> None:
    """The next stream of a caller gets 429 while another caller may still stream; an ended one frees its place."""
    interfaces = admission(Clock())
    with interfaces.streaming(ALICE), interfaces.streaming(BOB):
        with interfaces.streaming(ALICE), pytest.raises(RefusalError) as caught, interfaces.streaming(ALICE):
            pass
        assert caught.value.status == HTTPStatus.TOO_MANY_REQUESTS
        with interfaces.streaming(ALICE):
            pass
