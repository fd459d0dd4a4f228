"""Laws of the circuit breaker."""

from __future__ import annotations

import pytest

from schemas.errors import DependencyError
from worker.breaker import RejectionBreaker


def test_it_trips_above_the_limit() -> None:
    """51 rejected of 100 pass a limit of one half."""
    breaker = RejectionBreaker(100, 0.5)
    breaker.note(50, 1)
    with pytest.raises(DependencyError, match="51 of the last 100"):
        breaker.note(50, 50)


def test_it_does_not_judge_by_a_few_records() -> None:
    """Fewer records than the window never trip it, were they all bad."""
    RejectionBreaker(100, 0.5).note(99, 99)


def test_it_forgets_what_is_older_than_the_window() -> None:
    """A bad hour does not count for ever."""
    breaker = RejectionBreaker(100, 0.5)
    for _ in range(10):
        breaker.note(50, 25)
    breaker.note(100, 0)
    breaker.note(100, 50)


def test_a_limit_of_one_lets_everything_through() -> None:
    """The limit can be switched off."""
    RejectionBreaker(10, 1.0).note(1000, 1000)
