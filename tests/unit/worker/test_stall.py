"""Laws of noticing a stall."""

from __future__ import annotations

from faust.types import TP

from worker.transport.stall import StallWatch

HERE = TP("patients", 0)


def test_standing_still_behind_the_end_is_a_stall_after_the_limit() -> None:
    """Ten records behind, no progress for longer than the limit."""
    watch = StallWatch(10.0)
    assert [watch.stands_still(HERE, 90, 100, now) for now in (0.0, 10.0, 10.1)] == [False, False, True]


def test_any_progress_begins_the_count_anew() -> None:
    """One record more is progress."""
    watch = StallWatch(10.0)
    watch.stands_still(HERE, 90, 100, 0.0)
    watch.stands_still(HERE, 91, 100, 9.0)
    assert not watch.stands_still(HERE, 91, 100, 15.0)


def test_a_partition_at_its_end_may_stand_still() -> None:
    """No records, no stall."""
    watch = StallWatch(10.0)
    assert not any(watch.stands_still(HERE, 100, 100, now) for now in (0.0, 100.0, 1000.0))


def test_a_cure_is_tried_once() -> None:
    """After the cure the partition has the same time again; then there is no second cure."""
    watch = StallWatch(10.0)
    watch.stands_still(HERE, 90, 100, 0.0)
    assert watch.try_cure(HERE, 11.0)
    assert not watch.stands_still(HERE, 90, 100, 20.0)
    assert watch.stands_still(HERE, 90, 100, 22.0)
    assert not watch.try_cure(HERE, 22.0)
