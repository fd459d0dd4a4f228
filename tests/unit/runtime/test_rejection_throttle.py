"""Laws of reporting rejections: the first at once, then one summary per interval, and every record counted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import structlog.testing

from runtime import events
from runtime.log_throttling import RejectionSummary, RejectionThrottle


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> RejectionThrottle:
    return RejectionThrottle(10.0, clock)


def test_the_first_rejection_is_reported_at_once(throttle: RejectionThrottle) -> None:
    """The first rejection at each interface is reported without delay."""
    throttle.add("kafka", 2, ["not_json", "not_json"])
    first = throttle.due()
    throttle.add("http", 1, ["empty_value"])
    assert (first, throttle.due()) == (
        [RejectionSummary("kafka", 2, ("not_json",), 0.0)],
        [RejectionSummary("http", 1, ("empty_value",), 0.0)],
    )


def test_later_rejections_are_summed_up(throttle: RejectionThrottle, clock: Clock) -> None:
    """A batch a second for a minute is reported at once and then every ten seconds, with every record counted."""
    reported: list[RejectionSummary] = []
    for second in range(60):
        clock.now = second
        throttle.add("kafka", 3, ["not_json" if second % 2 else "empty_value"])
        reported += throttle.due()
    assert [each.records for each in reported] == [3, 30, 30, 30, 30, 30]
    assert sum(each.records for each in [*reported, *throttle.remaining()]) == 180
    assert reported[1] == RejectionSummary("kafka", 30, ("empty_value", "not_json"), 9.0)


def test_the_last_rejections_are_reported_though_no_more_follow(throttle: RejectionThrottle, clock: Clock) -> None:
    """The pending rejections become due after the interval, and are returned once."""
    throttle.add("kafka", 1, ["not_json"])
    throttle.due()
    clock.now = 1.0
    throttle.add("kafka", 5, ["wrong_type"])
    early, clock.now = throttle.due(), 10.0
    assert (early, throttle.due(), throttle.due()) == ([], [RejectionSummary("kafka", 5, ("wrong_type",), 9.0)], [])


def test_after_a_quiet_interval_the_first_rejection_is_reported_at_once_again(
    throttle: RejectionThrottle, clock: Clock
) -> None:
    """A rejection an hour after the last one is reported without delay."""
    throttle.add("kafka", 1, ["not_json"])
    throttle.due()
    clock.now = 3600.0
    throttle.add("kafka", 1, ["not_json"])
    assert throttle.due() == [RejectionSummary("kafka", 1, ("not_json",), 0.0)]


def test_has_pending_until_everything_is_reported(throttle: RejectionThrottle, clock: Clock) -> None:
    """It is true for rejections that are due and for those that must wait, and false after the last report."""
    before = throttle.has_pending
    throttle.add("kafka", 1, ["not_json"])
    first = (throttle.has_pending, len(throttle.due()), throttle.has_pending)
    throttle.add("kafka", 1, ["not_json"])
    waiting = (len(throttle.due()), throttle.has_pending)
    clock.now = 10.0
    assert (before, first, waiting) == (False, (True, 1, False), (0, True))
    assert (len(throttle.due()), throttle.has_pending) == (1, False)


def test_the_end_of_the_process_reports_the_rest() -> None:
    """A thousand batches with one bad record each, then a drained worker, give a few lines with all records counted."""
    events.WorkerDrained(complete=True).emit()
    with structlog.testing.capture_logs() as lines:
        for _ in range(1000):
            events.BatchScored("kafka", 9, 1, ("not_json",), 0.001).emit()
        events.WorkerDrained(complete=True).emit()
    reported = [line["records"] for line in lines if line["event"] == "records rejected"]
    assert (sum(reported), len(reported) < 5) == (1000, True)
