"""Time from record to score: the latency that the page's live view and the demo show."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

NAME: Final = "Time from record to score"
SECONDS: Final = 60
"""How far back the window reaches."""
_MAX_PER_SECOND: Final = 2_000
_MEDIAN: Final = 0.5
_TAIL: Final = 0.99


class RecordToScore(msgspec.Struct, frozen=True):
    """Median and 99th percentile, in milliseconds, of the times from a record's Kafka timestamp to that of its score.

    Producers set both: the sender of the record, and the worker when it sends the score.
    """

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: npt.NDArray[np.float64]) -> Self | None:
        """Return the figures of (n,) times, None without any."""
        count = len(milliseconds)
        if not count:
            return None
        ranks = [min(count - 1, int(count * share)) for share in (_MEDIAN, _TAIL)]
        return cls(*np.partition(milliseconds, ranks)[ranks].tolist())


def as_text(figures: RecordToScore | None) -> str:
    """Write both figures; a dash without any."""
    return "-" if figures is None else f"p50 {figures.p50:.0f} ms, p99 {figures.p99:.0f} ms"


class RecordToScoreWindow:
    """The times of the last minute, of at most 2,000 scores per second. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._by_second: deque[tuple[int, array[float]]] = deque()

    def add(self, milliseconds: float) -> None:
        """Add the time of a score that is read now; 0 if clocks differ, as a score cannot precede its record."""
        now = self._drop_old()
        if not self._by_second or self._by_second[-1][0] != now:
            self._by_second.append((now, array("d")))
        latest = self._by_second[-1][1]
        if len(latest) < _MAX_PER_SECOND:
            latest.append(max(0.0, milliseconds))

    def figures(self) -> RecordToScore | None:
        """Return the figures of the last minute."""
        self._drop_old()
        return RecordToScore.of(np.concatenate([np.empty(0), *(times for _, times in self._by_second)]))

    def _drop_old(self) -> int:
        now = int(self._clock())
        while self._by_second and self._by_second[0][0] < now - SECONDS:
            self._by_second.popleft()
        return now
