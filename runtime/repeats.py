"""Lines that say the same again and again: the first is written at once, then one at most in each interval."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

INTERVAL_SECONDS: Final = 10.0
_MANY: Final = 256
_NUMBERS: Final = re.compile(r"\d+")


class Repeats:
    """Says which lines to write, and how many like them were left out before. Any thread may call."""

    def __init__(self, interval: float = INTERVAL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """`interval` is in seconds of `clock`."""
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._written: dict[Hashable, tuple[float, int]] = {}

    @property
    def kinds(self) -> int:
        """How many kinds of lines are remembered."""
        return len(self._written)

    def left_out(self, kind: Hashable) -> int | None:
        """Return how many lines of a kind were left out since the last one; None where this one is left out, too."""
        with self._lock:
            now = self._clock()
            written_at, left_out = self._written.get(kind, (float("-inf"), 0))
            if now - written_at < self._interval:
                self._written[kind] = written_at, left_out + 1
                return None
            if len(self._written) >= _MANY:
                self._written = {kind: at for kind, at in self._written.items() if now - at[0] < self._interval}
            self._written[kind] = now, 0
            return left_out


class ClientRepeats(logging.Filter):
    """Thins out the lines of Kafka clients, which tell of each attempt to reach a broker that is away."""

    def __init__(self) -> None:
        """Know no line yet."""
        super().__init__()
        self._repeats = Repeats()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a line through if none of its level and text, whatever numbers are in it, was written lately."""
        left_out = self._repeats.left_out((record.levelno, _NUMBERS.sub("", record.getMessage())))
        if left_out:
            record.msg = f"{record.msg} ({left_out} like it left out)"
        return left_out is not None
