"""Laws of what counts as in flight when partitions are lost."""

from __future__ import annotations

from schemas.records import Source
from tests.faults.account import Result
from tests.faults.flight import FlightRecorder, Look, lost_in_flight, moments


def result(offset: int, written: float, partition: int = 0) -> Result:
    return Result("scores", 0, Source("in", partition, offset), b"key", b"score", None, written)


def test_a_result_counts_from_when_it_is_written_until_it_is_committed() -> None:
    """Of five results, one a second, three are written at 2; up to offset 1 is committed, so two are in flight."""
    results = [result(offset, float(offset)) for offset in range(5)]
    found = [lost_in_flight([Look(1.9, {0: committed}, 0)], [2.0], results) for committed in (0, 1, 3)]
    assert found == [3, 2, 0]


def test_a_repeat_is_not_in_flight_again() -> None:
    """What comes twice counts once, when it came first: else every duplicate would allow itself."""
    assert lost_in_flight([Look(9.0, {0: 7}, 0)], [9.0], [result(7, 1.0), result(7, 5.0), result(7, 0.5)]) == 1


def test_what_was_committed_was_not_in_flight() -> None:
    """A worker that begins before its committed offset is seen."""
    assert lost_in_flight([Look(5.0, {0: 10}, 0)], [5.0], [result(offset, 1.0) for offset in range(10)]) == 0


def test_partitions_stand_by_themselves_and_results_on_their_way_count() -> None:
    """Nothing is committed of the second partition; four results are on their way."""
    results = [result(0, 1.0), result(0, 1.0, partition=1)]
    assert lost_in_flight([Look(5.0, {0: 1}, 4)], [5.0], results) == 5


def test_the_last_look_before_a_loss_counts() -> None:
    """What is committed after the loss was in flight at it; a loss before all looks allows none."""
    looks = [Look(1.0, {0: 0}, 0), Look(3.0, {0: 2}, 0), Look(5.0, {0: 4}, 9)]
    results = [result(offset, 0.5) for offset in range(4)]
    assert [lost_in_flight(looks, [loss], results) for loss in (0.9, 2.0, 4.0)] == [0, 4, 2]


def test_losses_at_the_same_time_are_one() -> None:
    """Two workers that lose their session together, and one a while later."""
    assert moments([7.0, 3.0, 3.1]) == [3.1, 7.0]


def test_a_run_without_a_loss_has_no_moment() -> None:
    """Then nothing was in flight, and nothing may be repeated."""
    assert (moments([]), lost_in_flight([Look(1.0, {0: 0}, 5)], [], [result(0, 0.5)])) == ([], 0)


def test_a_recorder_looks_until_it_ends() -> None:
    """Begun twice, as at each of several faults, it looks all the same."""
    recorder = FlightRecorder(lambda: {0: 1}, lambda: 4)
    recorder.begin()
    recorder.begin()
    while not recorder.looks:
        pass
    recorder.end()
    assert (recorder.looks[0].committed, recorder.looks[0].on_their_way) == ({0: 1}, 4)


def test_the_first_look_is_before_the_fault() -> None:
    """A broker that is killed at once answers no later one."""
    recorder = FlightRecorder(lambda: {0: 7}, lambda: 3)
    recorder.begin()
    seen = [(look.committed, look.on_their_way) for look in recorder.looks[:1]]
    recorder.end()
    assert seen == [({0: 7}, 3)]
