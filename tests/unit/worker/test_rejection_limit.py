"""The rejection limit stops the worker when too many recent records are rejected."""

from __future__ import annotations

import pytest

from schemas.errors import DependencyError
from worker.rejection_limit import RejectionLimit


def trips(limit: RejectionLimit, *batches: tuple[int, int]) -> list[bool]:
    """Feed (records, rejected) batches; say for each whether the limit tripped."""
    tripped = []
    for records, rejected in batches:
        try:
            limit.record(records, rejected)
        except DependencyError:
            tripped.append(True)
        else:
            tripped.append(False)
    return tripped


def test_it_trips_above_the_limit() -> None:
    """51 rejected of 100 pass a limit of one half; 50 do not."""
    assert trips(RejectionLimit(100, 0.5), (50, 0), (50, 50), (50, 1)) == [False, False, True]


def test_the_error_contains_counts_only() -> None:
    """The error contains the counts and nothing of a record."""
    with pytest.raises(DependencyError, match="100 of the last 100 records were rejected"):
        RejectionLimit(100, 0.5).record(100, 100)


def test_it_never_trips_on_fewer_records_than_its_window() -> None:
    """Fewer records than the window never trip it, even if all of them are rejected."""
    assert trips(RejectionLimit(100, 0.5), (99, 99)) == [False]


def test_it_counts_only_the_records_of_its_window() -> None:
    """Rejections that are older than the window no longer count."""
    assert not any(trips(RejectionLimit(100, 0.5), *[(50, 25)] * 10, (100, 0), (100, 50)))


def test_a_limit_of_one_disables_it() -> None:
    """With a limit of 1 any rejection ratio is accepted."""
    assert trips(RejectionLimit(10, 1.0), (1000, 1000)) == [False]
