"""Laws of the rate limit: requests in flight are bounded, and each caller has its own token bucket."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

import pytest
from aiohttp import web

from api.limits.rate_limit import RateLimit
from api.problem_details import ProblemError, error_response

ALICE, BOB = (cast("web.BaseRequest", name) for name in ("alice", "bob"))


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def rate_limit(clock: Clock, most: int = 2, rate: float = 10, burst: int = 20) -> RateLimit:
    return RateLimit(most, 2, rate, burst, lambda request: cast("Any", request), clock)


def test_requests_over_the_limit_are_refused_until_one_ends() -> None:
    """503 with Retry-After; after a release the next request is admitted."""
    limit = rate_limit(Clock())
    limit.acquire()
    limit.acquire()
    with pytest.raises(ProblemError) as caught:
        limit.acquire()
    assert (caught.value.status, caught.value.response(error_response).headers["Retry-After"]) == (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "2",
    )
    limit.release()
    limit.acquire()


def test_a_bucket_fills_with_time() -> None:
    """A burst is accepted at once; then records are accepted at the rate."""
    clock = Clock()
    limit = rate_limit(clock)
    limit.charge(ALICE, 20)
    with pytest.raises(ProblemError) as caught:
        limit.charge(ALICE, 5)
    assert (caught.value.status, caught.value.retry_seconds) == (HTTPStatus.TOO_MANY_REQUESTS, 0.5)
    clock.now += 0.5
    limit.charge(ALICE, 5)
    with pytest.raises(ProblemError):
        limit.charge(ALICE, 1)


def test_callers_do_not_share_a_bucket() -> None:
    """One who sends too much takes nothing from another."""
    limit = rate_limit(Clock())
    limit.charge(ALICE, 20)
    limit.charge(BOB, 20)


def test_a_bucket_never_holds_more_than_a_burst() -> None:
    """Tokens do not accumulate over an idle night."""
    clock = Clock()
    limit = rate_limit(clock)
    clock.now += 36_000
    limit.charge(ALICE, 20)
    with pytest.raises(ProblemError):
        limit.charge(ALICE, 1)


def test_more_records_than_a_burst_are_always_refused() -> None:
    """The response says to send less, not to wait."""
    with pytest.raises(ProblemError) as caught:
        rate_limit(Clock()).charge(ALICE, 21)
    assert caught.value.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def test_rate_zero_is_no_limit() -> None:
    """By default nobody is counted."""
    rate_limit(Clock(), rate=0).charge(ALICE, 1_000_000)


async def test_a_stream_waits_for_its_tokens() -> None:
    """Lines are slowed down to the rate, not refused; more than a burst comes in parts."""
    limit = RateLimit(1, 1, 1000, 20, lambda request: cast("Any", request), asyncio.get_running_loop().time)
    begin = asyncio.get_running_loop().time()
    await limit.wait(ALICE, 70)
    assert asyncio.get_running_loop().time() - begin >= 0.05


def test_streams_of_a_caller_are_limited() -> None:
    """429 for the next of the same caller, while another may stream; after one ends, another may start."""
    limit = rate_limit(Clock())
    with limit.stream(ALICE), limit.stream(BOB):
        with limit.stream(ALICE), pytest.raises(ProblemError) as caught, limit.stream(ALICE):
            pass
        assert caught.value.status == HTTPStatus.TOO_MANY_REQUESTS
        with limit.stream(ALICE):
            pass
