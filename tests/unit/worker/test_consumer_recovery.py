"""When a consumer that has lost its group, or is rejected by it, is replaced by a new one."""

from __future__ import annotations

from worker.kafka.consumer_recovery import DisconnectionTimer, ExpulsionTimer


def replacements(
    disconnection: DisconnectionTimer, start: int, seconds: int, *, is_disconnected: bool = True
) -> list[int]:
    """Check every second, and return the times at which the client was to be replaced."""
    return [now for now in range(start, start + seconds) if disconnection.is_too_long(float(now), is_disconnected)]


def test_each_failed_client_doubles_the_time_of_the_next() -> None:
    """Up to sixteen times the first limit: a broker can be down for hours."""
    times = replacements(DisconnectionTimer(60.0, 0.0), 1, 10_000)
    waits = [later - earlier for earlier, later in zip([0, *times], times, strict=False)]
    assert waits[:8] == [61, 121, 241, 481, 961, 961, 961, 961]


def test_a_group_that_answers_resets_the_time() -> None:
    """Times without a group do not add up across times with one, and the limit is the first one again."""
    disconnection = DisconnectionTimer(60.0, 0.0)
    assert len(replacements(disconnection, 1, 300)) == 2
    assert replacements(disconnection, 301, 1, is_disconnected=False) == []
    assert replacements(disconnection, 302, 60) == []
    assert replacements(disconnection, 362, 1) == [362]


def test_time_while_the_process_is_suspended_does_not_count() -> None:
    """A suspended process could not check its client."""
    disconnection = DisconnectionTimer(60.0, 0.0)
    assert not disconnection.is_too_long(500.0, is_disconnected=True)
    assert replacements(disconnection, 501, 59) == []


def test_a_client_whose_transactions_the_group_refuses_for_long_is_replaced() -> None:
    """The time counts from the first refusal; an accepted transaction or a rebalance resets it."""
    for end in (lambda each: each.record(is_refused=False, now=9.0), ExpulsionTimer.reset):
        expulsion = ExpulsionTimer(10.0)
        assert not expulsion.is_too_long(1_000.0)
        for now in (0.0, 5.0, 9.0):
            expulsion.record(is_refused=True, now=now)
        assert [expulsion.is_too_long(now) for now in (10.0, 10.1)] == [False, True]
        end(expulsion)
        assert not expulsion.is_too_long(1_000.0)
