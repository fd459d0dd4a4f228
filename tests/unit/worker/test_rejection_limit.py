"""Laws of the circuit limit."""

from __future__ import annotations

import pytest

from schemas.errors import DependencyError
from worker.rejection_limit import RejectionLimit


def trips(limit: RejectionLimit, *batches: tuple[int, int]) -> list[bool]:
    """Feed (records, rejected) batches; say for each whether the limit tripped."""
    tripped = []
    for records, rejected in batches:
        try:
            limit.note(records, rejected)
        except DependencyError:
            tripped.append(True)
        else:
            tripped.append(False)
    return tripped


def test_it_trips_above_the_limit() -> None:
    """51 rejected of 100 pass a limit of one half; 50 do not."""
    assert trips(RejectionLimit(100, 0.5), (50, 0), (50, 50), (50, 1)) == [False, False, True]


def test_it_says_what_it_saw() -> None:
    """The error counts, and names no record."""
    with pytest.raises(DependencyError, match="100 of the last 100 records were rejected"):
        RejectionLimit(100, 0.5).note(100, 100)


def test_it_does_not_judge_by_a_few_records() -> None:
    """Fewer records than the window never trip it, were they all bad."""
    assert trips(RejectionLimit(100, 0.5), (99, 99)) == [False]


def test_it_forgets_what_is_older_than_the_window() -> None:
    """A bad hour does not count for ever."""
    assert not any(trips(RejectionLimit(100, 0.5), *[(50, 25)] * 10, (100, 0), (100, 50)))


def test_a_limit_of_one_lets_everything_through() -> None:
    """The limit can be switched off."""
    assert trips(RejectionLimit(10, 1.0), (1000, 1000)) == [False]
