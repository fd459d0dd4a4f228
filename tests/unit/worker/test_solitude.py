"""Laws of when a client is given up that is alone, or that its group does not know."""

from __future__ import annotations

from worker.transport.solitude import Expulsion, Solitude


def given_up(solitude: Solitude, start: int, seconds: int, *, alone: bool = True) -> list[int]:
    """Look every second, and return when it was time for another client."""
    return [now for now in range(start, start + seconds) if solitude.is_too_long(float(now), alone)]


def test_each_client_in_vain_is_given_twice_the_time() -> None:
    """Up to sixteen times the first one's; a broker may be away for hours."""
    times = given_up(Solitude(60.0, 0.0), 1, 10_000)
    waits = [later - earlier for earlier, later in zip([0, *times], times, strict=False)]
    assert waits[:8] == [61, 121, 241, 481, 961, 961, 961, 961]


def test_company_ends_it() -> None:
    """Time alone does not add up over times in company, and patience is as at first."""
    solitude = Solitude(60.0, 0.0)
    assert len(given_up(solitude, 1, 300)) == 2
    assert given_up(solitude, 301, 1, alone=False) == []
    assert given_up(solitude, 302, 60) == []
    assert given_up(solitude, 362, 1) == [362]


def test_time_in_which_the_process_was_suspended_does_not_count() -> None:
    """A client that could not look cannot have been found wanting."""
    solitude = Solitude(60.0, 0.0)
    assert not solitude.is_too_long(500.0, alone=True)
    assert given_up(solitude, 501, 59) == []


def test_a_client_whose_transactions_the_group_refuses_for_long_is_given_up() -> None:
    """The time counts from the first refusal; one that is accepted, or news of the group, ends it."""
    for end in (lambda each: each.note(is_refused=False, now=9.0), Expulsion.end):
        expulsion = Expulsion(10.0)
        assert not expulsion.is_too_long(1_000.0)
        for now in (0.0, 5.0, 9.0):
            expulsion.note(is_refused=True, now=now)
        assert [expulsion.is_too_long(now) for now in (10.0, 10.1)] == [False, True]
        end(expulsion)
        assert not expulsion.is_too_long(1_000.0)
