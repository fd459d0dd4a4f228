"""Noticing a partition that stands still although it has records and the broker answers."""

from __future__ import annotations

import msgspec
from faust.types import TP


class _Mark(msgspec.Struct):
    """How far a partition had come, since when it stands there, and whether a cure was tried."""

    done: int
    since: float
    cured: bool = False


class StallWatch:
    """Remembers, for each partition, when it last made progress. Times are in seconds of any monotonic clock."""

    def __init__(self, limit: float) -> None:
        """`limit` is how long a partition may stand still behind its end."""
        self._limit = limit
        self._marks: dict[TP, _Mark] = {}

    def stands_still(self, tp: TP, done: int, end: int, now: float) -> bool:
        """Take in how far a partition is done and where it ends; say if it stood still beyond the limit."""
        mark = self._marks.get(tp)
        if mark is None or mark.done != done or done >= end:
            self._marks[tp] = _Mark(done, now)
            return False
        return now - mark.since > self._limit

    def try_cure(self, tp: TP, now: float) -> bool:
        """Say whether a cure is still to be tried; if so, the partition gets the same time once more."""
        mark = self._marks[tp]
        if mark.cured:
            return False
        mark.since, mark.cured = now, True
        return True

    def excuse(self, tp: TP, now: float) -> None:
        """Begin to count anew: something else is known to hold the partition up."""
        if tp in self._marks:
            self._marks[tp].since = now

    def forget(self, tp: TP) -> None:
        """Drop a partition that is no longer this worker's."""
        self._marks.pop(tp, None)
