"""Rejected records are told soon and not too often, and none is left out of what is told."""

from __future__ import annotations

import structlog.testing

from runtime.rejections import RejectionLog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_first_is_told_at_once_and_the_rest_together() -> None:
    """A flood in ten seconds is two lines; the second has the sum of what came since, and all its codes."""
    clock = Clock()
    log = RejectionLog(10.0, clock)
    with structlog.testing.capture_logs() as lines:
        for number in range(100):
            clock.now = number * 0.1
            log.note("kafka", 2, [f"code_{number % 3}"])
        clock.now = 10.0
        log.note("kafka", 5, ["late"])
    assert [(line["records"], line["codes"]) for line in lines] == [
        (2, ["code_0"]),
        (99 * 2 + 5, ["code_0", "code_1", "code_2", "late"]),
    ]


def test_doors_are_told_apart() -> None:
    """What two doors rejected is not added up."""
    clock = Clock()
    log = RejectionLog(10.0, clock)
    with structlog.testing.capture_logs() as lines:
        log.note("kafka", 1, ["a"])
        log.note("http", 2, ["b"])
        clock.now = 11.0
        log.note("kafka", 3, ["a"])
    assert [(line["door"], line["records"]) for line in lines] == [("kafka", 1), ("http", 2), ("kafka", 3)]
