"""Rejected records in the log: soon, and not too often."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import structlog

_log: Final = structlog.get_logger("heartstream")


class RejectionLog:
    """Logs rejected records: the first at once, then a line every so often with what came since.

    A steady share of bad records would flood a log otherwise; the metrics count each.
    """

    def __init__(self, every: float, clock: Callable[[], float]) -> None:
        """`every` is in seconds of the `clock`."""
        self._every = every
        self._clock = clock
        self._next = -math.inf
        self._records: Counter[str] = Counter()
        self._codes: set[str] = set()

    def note(self, door: str, records: int, codes: Iterable[str]) -> None:
        """Take in what a door rejected."""
        self._records[door] += records
        self._codes.update(codes)
        if self._clock() < self._next:
            return
        self._next = self._clock() + self._every
        for each, count in self._records.items():
            _log.warning("records rejected", door=each, records=count, codes=sorted(self._codes))
        self._records.clear()
        self._codes.clear()
