"""Shrinks a schedule that violates a law."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from tests.simulation.schedule import Schedule, Step


def shrunk(schedule: Schedule, breaks: Callable[[Schedule], bool]) -> Schedule:
    """Return a smaller schedule that `breaks` as well: fewer steps, workers and partitions, shorter faults."""
    smaller = replace(schedule, steps=_fewer(schedule, breaks))
    for candidate in _simpler(smaller):
        merged = replace(candidate, steps=smaller.steps)
        if breaks(merged):
            smaller = merged
    return replace(smaller, steps=_fewer(smaller, breaks))


def _fewer(schedule: Schedule, breaks: Callable[[Schedule], bool]) -> tuple[Step, ...]:
    """Remove steps: first large groups of them, then single ones (delta debugging)."""
    steps, size = schedule.steps, len(schedule.steps) // 2
    while size:
        place = 0
        while place < len(steps):
            fewer = steps[:place] + steps[place + size :]
            if breaks(replace(schedule, steps=fewer)):
                steps = fewer
            else:
                place += size
        size //= 2
    return steps


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    for workers in range(1, schedule.workers):
        yield replace(schedule, workers=workers)
    for partitions in range(1, schedule.partitions):
        yield replace(schedule, partitions=partitions)
