"""Laws of what counts as in flight."""

from __future__ import annotations

from schemas.records import Source
from tests.faults.account import Result
from tests.faults.flight import FlightRecorder, Look, first_written, in_flight


def result(offset: int, written: float, partition: int = 0) -> Result:
    return Result("scores", 0, Source("in", partition, offset), b"key", b"score", None, written)


def test_a_result_counts_from_when_it_is_written_until_it_is_committed() -> None:
    """Of five results, one a second, three are written at 2; up to offset 1 is committed, so two are in flight."""
    written = first_written(result(offset, float(offset)) for offset in range(5))
    looks = [Look(2.0, {0: committed}, 0) for committed in (0, 1, 3)]
    assert [in_flight(look, written) for look in looks] == [3, 2, 0]


def test_a_repeat_is_not_in_flight_again() -> None:
    """What comes twice counts once, when it came first: else every duplicate would allow itself."""
    written = first_written([result(7, 1.0), result(7, 5.0), result(7, 0.5)])
    assert (list(written), in_flight(Look(9.0, {0: 7}, 0), written)) == ([(Source("in", 0, 7), 0.5)], 1)


def test_a_repeat_of_what_was_committed_was_not_in_flight() -> None:
    """A worker that begins before its committed offset is seen."""
    written = first_written([result(offset, 1.0) for offset in range(10)])
    assert in_flight(Look(5.0, {0: 10}, 0), written) == 0


def test_partitions_stand_by_themselves_and_results_on_their_way_count() -> None:
    """Nothing is committed of the second partition; four results are on their way."""
    written = first_written([result(0, 1.0), result(0, 1.0, partition=1)])
    assert in_flight(Look(5.0, {0: 1}, 4), written) == 5


def test_a_recorder_looks_while_a_fault_lasts() -> None:
    """Each fault counts with its worst moment; without a fault nothing counts."""
    recorder = FlightRecorder(lambda: {0: 1}, lambda: 4)
    quiet = recorder.most([result(0, 1.0)])
    for _ in range(2):
        recorder.begin()
        while not recorder.looks():
            pass
    recorder.end()
    assert (quiet, recorder.most([result(0, 1.0), result(1, 1.0)])) == (0, 10)
