"""The stall detector."""

from __future__ import annotations

from faust.types import TP

from worker.kafka.stall_detector import StallDetector

HERE, THERE = TP("patients", 0), TP("patients", 1)


def standing(limit: float = 10.0) -> StallDetector:
    """Return a detector that has seen both partitions at offset 90."""
    watch = StallDetector(limit)
    assert watch.has_moved(HERE, {HERE: 90, THERE: 90})
    return watch


def test_no_progress_for_longer_than_the_limit_is_a_stall() -> None:
    """The seconds without progress are added up."""
    watch = standing()
    assert [watch.is_stalled(HERE, seconds) for seconds in (0.0, 4.0, 6.0, 0.1)] == [False, False, False, True]


def test_any_progress_resets_the_time() -> None:
    """One finished record is progress."""
    watch = standing()
    watch.is_stalled(HERE, 9.0)
    moved = [watch.has_moved(HERE, {HERE: done}) for done in (90, 91, 91)]
    assert (moved, watch.is_stalled(HERE, 9.0)) == ([False, True, False], False)


def test_an_excuse_resets_the_time() -> None:
    """A reset means that something else delayed the partition."""
    watch = standing()
    watch.is_stalled(HERE, 9.0)
    watch.reset(HERE)
    assert [watch.is_stalled(HERE, seconds) for seconds in (9.0, 2.0)] == [False, True]


def test_a_partition_is_sought_once() -> None:
    """After a seek the partition has the full time again; then there is no second seek."""
    watch, done = standing(), {HERE: 90}
    watch.is_stalled(HERE, 11.0)
    assert watch.try_restart(HERE, done)
    assert [watch.is_stalled(HERE, seconds) for seconds in (9.0, 2.0)] == [False, True]
    assert not watch.try_restart(HERE, done)


def test_a_partition_that_is_a_million_records_ahead_has_passed_it() -> None:
    """The client cannot have fetched that many records of one other partition before; fewer prove nothing."""
    watch = standing()
    passed = [watch.is_passed(HERE, {HERE: 90, THERE: 90 + ahead}) for ahead in (999_999, 1_000_000)]
    assert passed == [False, True]


def test_many_partitions_that_are_slightly_ahead_have_not_passed_it() -> None:
    """If a hundred others each advanced by ten thousand records, this one can still be next."""
    watch = StallDetector(10.0)
    crowd = {TP("patients", number): 0 for number in range(100)}
    watch.has_moved(HERE, crowd)
    assert not watch.is_passed(HERE, {HERE: 0, **dict.fromkeys(list(crowd)[1:], 10_000)})
