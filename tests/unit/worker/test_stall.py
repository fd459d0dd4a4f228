"""Laws of noticing a stall."""

from __future__ import annotations

from faust.types import TP

from worker.transport.stall import StallWatch

HERE, THERE = TP("patients", 0), TP("patients", 1)


def standing(limit: float = 10.0) -> StallWatch:
    """Return a watch that has seen both partitions at 90."""
    watch = StallWatch(limit)
    assert watch.has_moved(HERE, {HERE: 90, THERE: 90})
    return watch


def test_standing_still_is_a_stall_after_the_limit() -> None:
    """No progress for more seconds than the limit, added up."""
    watch = standing()
    assert [watch.stands_still(HERE, seconds) for seconds in (0.0, 4.0, 6.0, 0.1)] == [False, False, False, True]


def test_any_progress_begins_the_count_anew() -> None:
    """One record more is progress."""
    watch = standing()
    watch.stands_still(HERE, 9.0)
    moved = [watch.has_moved(HERE, {HERE: done}) for done in (90, 91, 91)]
    assert (moved, watch.stands_still(HERE, 9.0)) == ([False, True, False], False)


def test_an_excuse_begins_the_count_anew() -> None:
    """Something else held the partition up."""
    watch = standing()
    watch.stands_still(HERE, 9.0)
    watch.excuse(HERE)
    assert [watch.stands_still(HERE, seconds) for seconds in (9.0, 2.0)] == [False, True]


def test_a_cure_is_tried_once() -> None:
    """After the cure the partition has the same time again; then there is no second cure."""
    watch, done = standing(), {HERE: 90}
    watch.stands_still(HERE, 11.0)
    assert watch.try_cure(HERE, done)
    assert [watch.stands_still(HERE, seconds) for seconds in (9.0, 2.0)] == [False, True]
    assert not watch.try_cure(HERE, done)


def test_another_that_is_far_ahead_has_passed_it() -> None:
    """A million records of one other partition are more than the client can have fetched before; fewer are not."""
    watch = standing()
    passed = [watch.is_passed(HERE, {HERE: 90, THERE: 90 + ahead}) for ahead in (999_999, 1_000_000)]
    assert passed == [False, True]


def test_many_others_a_little_ahead_have_not_passed_it() -> None:
    """A hundred partitions that each moved by ten thousand records: it may be the next."""
    watch = StallWatch(10.0)
    crowd = {TP("patients", number): 0 for number in range(100)}
    watch.has_moved(HERE, crowd)
    assert not watch.is_passed(HERE, {HERE: 0, **dict.fromkeys(list(crowd)[1:], 10_000)})
