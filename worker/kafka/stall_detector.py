"""Detects stalled partitions: no progress although they have lag, their turn has passed, and the broker answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from faust.types import TP

_TURN_RECORDS: Final = 1_000_000
"""The client fetches partitions in rotation, but may buffer 100,000 records of one, and with hundreds of partitions
about fifty fetches of one may precede the first of another. After more records than this, a partition was skipped."""


class _Mark(msgspec.Struct):
    """A partition's offset, the others' at that time, for how long its turn has passed, and if it was restarted."""

    done: int
    others: Mapping[TP, int]
    seconds: float = 0.0
    restarted: bool = False


class StallDetector:
    """Tracks the progress of each partition, and for how many seconds it made none although its turn had passed."""

    def __init__(self, limit: float) -> None:
        """`limit` is the number of such seconds after which a partition is stalled."""
        self._limit = limit
        self._marks: dict[TP, _Mark] = {}

    def has_moved(self, tp: TP, done: Mapping[TP, int]) -> bool:
        """Whether a partition is new or has progressed, given the offsets to which all partitions are done."""
        mark = self._marks.get(tp)
        if mark is not None and mark.done == done[tp]:
            return False
        self._marks[tp] = _Mark(done[tp], done)
        return True

    def is_passed(self, tp: TP, done: Mapping[TP, int]) -> bool:
        """Whether another partition has progressed so far that this one must have had its turn."""
        others = self._marks[tp].others
        return any(done[other] - others.get(other, done[other]) >= _TURN_RECORDS for other in done)

    def is_stalled(self, tp: TP, seconds: float) -> bool:
        """Add seconds without progress after its turn; return whether the limit is exceeded."""
        mark = self._marks[tp]
        mark.seconds += seconds
        return mark.seconds > self._limit

    def try_restart(self, tp: TP, done: Mapping[TP, int]) -> bool:
        """Whether the partition may be restarted: once, after which it gets the same time again."""
        mark = self._marks[tp]
        if mark.restarted:
            return False
        mark.seconds, mark.others, mark.restarted = 0.0, done, True
        return True

    def reset(self, tp: TP) -> None:
        """Reset the count: the delay has another known cause."""
        if tp in self._marks:
            self._marks[tp].seconds = 0.0

    def forget(self, tp: TP) -> None:
        """Forget a partition that is no longer owned, or has no lag."""
        self._marks.pop(tp, None)
