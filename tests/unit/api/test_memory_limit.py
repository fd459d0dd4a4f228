"""The budget of bytes in flight."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from api.limits.memory_limit import MemoryLimit
from api.problem_details import ProblemError


def test_nothing_is_reserved_for_a_request_without_bytes() -> None:
    """An empty body leaves no entry of its caller behind, however many callers there are."""
    limit = MemoryLimit(100)
    request = make_mocked_request("POST", "/predict")
    limit.reserve(request, 0)
    limit.release(request)
    assert dict(limit._by_caller) == {}


def test_a_caller_without_requests_in_flight_is_forgotten() -> None:
    """Its reservation is returned in full."""
    limit = MemoryLimit(100)
    request = make_mocked_request("POST", "/predict")
    limit.reserve(request, 20)
    with pytest.raises(ProblemError):
        limit.reserve(make_mocked_request("POST", "/predict"), 90)
    limit.release(request)
    assert dict(limit._by_caller) == {}
    limit.reserve(request, 20)
