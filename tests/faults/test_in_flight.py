"""Which records count as in flight when partitions are lost."""

from __future__ import annotations

from schemas.records import Source
from tests.faults.account import Result
from tests.faults.in_flight import InFlightRecorder, Observation, lost_in_flight, separate_losses


def result(offset: int, written: float, partition: int = 0) -> Result:
    return Result("scores", 0, Source("in", partition, offset), b"key", b"score", None, written)


def test_a_result_counts_from_when_it_is_written_until_it_is_committed() -> None:
    """Of five results, one a second, three are written at 2 s; with offset 1 committed two are in flight."""
    results = [result(offset, float(offset)) for offset in range(5)]
    found = [lost_in_flight([Observation(1.9, {0: committed}, 0)], [2.0], results) for committed in (0, 1, 3)]
    assert found == [3, 2, 0]


def test_a_repeat_is_not_in_flight_again() -> None:
    """A repeated result counts once, at its first time: otherwise every duplicate would excuse itself."""
    assert lost_in_flight([Observation(9.0, {0: 7}, 0)], [9.0], [result(7, 1.0), result(7, 5.0), result(7, 0.5)]) == 1


def test_committed_results_are_not_in_flight() -> None:
    """Committed results do not count, so a worker that begins before its committed offset is detected."""
    assert lost_in_flight([Observation(5.0, {0: 10}, 0)], [5.0], [result(offset, 1.0) for offset in range(10)]) == 0


def test_partitions_are_counted_separately_with_unwritten_results() -> None:
    """Nothing of the second partition is committed; four results are not written yet."""
    results = [result(0, 1.0), result(0, 1.0, partition=1)]
    assert lost_in_flight([Observation(5.0, {0: 1}, 4)], [5.0], results) == 5


def test_the_last_observation_before_a_loss_counts() -> None:
    """A later commit was in flight at the loss; without an earlier observation nothing is allowed."""
    observations = [Observation(1.0, {0: 0}, 0), Observation(3.0, {0: 2}, 0), Observation(5.0, {0: 4}, 9)]
    results = [result(offset, 0.5) for offset in range(4)]
    assert [lost_in_flight(observations, [loss], results) for loss in (0.9, 2.0, 4.0)] == [0, 4, 2]


def test_simultaneous_losses_are_one() -> None:
    """Two workers that lose their sessions together are one loss, and a later one is another."""
    assert separate_losses([7.0, 3.0, 3.1]) == [3.1, 7.0]


def test_without_a_loss_nothing_was_in_flight() -> None:
    """Without a loss of partitions nothing may be repeated."""
    assert (separate_losses([]), lost_in_flight([Observation(1.0, {0: 0}, 5)], [], [result(0, 0.5)])) == ([], 0)


def test_a_recorder_can_be_started_repeatedly() -> None:
    """Starting a recorder again, as at each of several faults, has no effect; it records until its end."""
    recorder = InFlightRecorder(lambda: {0: 1}, lambda: 4)
    recorder.begin()
    recorder.begin()
    while not recorder.observations:
        pass
    recorder.end()
    assert (recorder.observations[0].committed, recorder.observations[0].unwritten) == ({0: 1}, 4)


def test_the_first_observation_precedes_the_fault() -> None:
    """The first observation is complete when `begin` returns, as a killed broker answers no query."""
    recorder = InFlightRecorder(lambda: {0: 7}, lambda: 3)
    recorder.begin()
    seen = [(observation.committed, observation.unwritten) for observation in recorder.observations[:1]]
    recorder.end()
    assert seen == [({0: 7}, 3)]
