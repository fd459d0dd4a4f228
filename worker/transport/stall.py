"""Noticing a partition that stands still although it has records, had its turn, and the broker answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from faust.types import TP

_TURN_RECORDS: Final = 1_000_000
"""The client fetches in rotation, but may hold 100,000 records of one partition, and some fifty fetches of it may come
before the first of another, where there are hundreds. Whoever has waited for more than that was passed over."""


class _Mark(msgspec.Struct):
    """Where a partition stands, where the others were then, for how long its turn has passed, and if it was cured."""

    done: int
    others: Mapping[TP, int]
    seconds: float = 0.0
    cured: bool = False


class StallWatch:
    """Remembers where each partition stands, and for how many seconds it stood there although it had its turn."""

    def __init__(self, limit: float) -> None:
        """`limit` is how many such seconds a partition may have."""
        self._limit = limit
        self._marks: dict[TP, _Mark] = {}

    def has_moved(self, tp: TP, done: Mapping[TP, int]) -> bool:
        """Take in how far all partitions are done; say whether this one is further than before, or new."""
        mark = self._marks.get(tp)
        if mark is not None and mark.done == done[tp]:
            return False
        self._marks[tp] = _Mark(done[tp], done)
        return True

    def is_passed(self, tp: TP, done: Mapping[TP, int]) -> bool:
        """Say whether another partition has come so far since that this one must have had its turn."""
        others = self._marks[tp].others
        return any(done[other] - others.get(other, done[other]) >= _TURN_RECORDS for other in done)

    def stands_still(self, tp: TP, seconds: float) -> bool:
        """Count time in which a partition did not move and had its turn; say if it is beyond the limit."""
        mark = self._marks[tp]
        mark.seconds += seconds
        return mark.seconds > self._limit

    def try_cure(self, tp: TP, done: Mapping[TP, int]) -> bool:
        """Say whether a cure is still to be tried; if so, the partition gets the same time, and turn, once more."""
        mark = self._marks[tp]
        if mark.cured:
            return False
        mark.seconds, mark.others, mark.cured = 0.0, done, True
        return True

    def excuse(self, tp: TP) -> None:
        """Begin to count anew: something else is known to hold the partition up."""
        if tp in self._marks:
            self._marks[tp].seconds = 0.0

    def forget(self, tp: TP) -> None:
        """Drop a partition that is no longer this worker's, or is at its end."""
        self._marks.pop(tp, None)
