"""Rate limits for log lines that would repeat: the first is written at once, then at most one per interval."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import msgspec

INTERVAL_SECONDS: Final = 10.0
_MAX_KINDS: Final = 256
_NUMBERS: Final = re.compile(r"\d+")


class LogThrottle:
    """Decides which lines to write and counts the suppressed ones. Thread-safe."""

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

    def admit(self, kind: Hashable) -> int | None:
        """Return how many lines of a kind were suppressed since the last one; None if this one is suppressed, too."""
        with self._lock:
            now = self._clock()
            written_at, suppressed = self._written.get(kind, (float("-inf"), 0))
            if now - written_at < self._interval:
                self._written[kind] = written_at, suppressed + 1
                return None
            if len(self._written) >= _MAX_KINDS:
                self._written = {kind: at for kind, at in self._written.items() if now - at[0] < self._interval}
            self._written[kind] = now, 0
            return suppressed


class ThrottlingFilter(logging.Filter):
    """Throttles the log lines of libraries, such as Kafka clients, which log every attempt to reach a broker."""

    def __init__(self) -> None:
        """Start without any known lines."""
        super().__init__()
        self._throttle = LogThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        """Admit a line unless one with the same level and text, ignoring numbers, was written recently."""
        suppressed = self._throttle.admit((record.levelno, _NUMBERS.sub("", record.getMessage())))
        if suppressed:
            record.msg = f"{record.msg} ({suppressed} similar lines suppressed)"
        return suppressed is not None


class RejectionSummary(msgspec.Struct, frozen=True):
    """Records that an interface rejected in the last `seconds`, and their rejection codes."""

    interface: str
    records: int
    codes: tuple[str, ...]
    seconds: float


class _Pending:
    """Rejections of an interface that have not been reported yet."""

    def __init__(self) -> None:
        self.records = 0
        self.codes: set[str] = set()
        self.since = 0.0
        self.reported_at = float("-inf")


class RejectionThrottle:
    """Sums up rejections: an interface's first is reported at once, later ones together, once per interval.

    Each record is reported once. Thread-safe.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        """`interval` is in seconds of `clock`."""
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._interfaces: dict[str, _Pending] = {}
        self.has_pending = False
        """Whether anything is still to be reported, now or later: cheaper to read than `due`."""

    def add(self, interface: str, records: int, codes: Iterable[str]) -> None:
        """Add rejections."""
        with self._lock:
            pending = self._interfaces.setdefault(interface, _Pending())
            if not pending.records:
                pending.since = self._clock()
            pending.records += records
            self.has_pending = True
            pending.codes.update(codes)

    def due(self) -> list[RejectionSummary]:
        """Return the summaries of interfaces whose interval is over."""
        return self._take(self._interval)

    def remaining(self) -> list[RejectionSummary]:
        """Return everything not reported yet, when the process exits."""
        return self._take(0.0)

    def _take(self, interval: float) -> list[RejectionSummary]:
        summaries = []
        with self._lock:
            for interface, pending in self._interfaces.items():
                now = self._clock()
                if pending.records and now - pending.reported_at >= interval:
                    codes = tuple(sorted(pending.codes))
                    summaries.append(RejectionSummary(interface, pending.records, codes, now - pending.since))
                    pending.records, pending.codes, pending.reported_at = 0, set(), now
            self.has_pending = any(pending.records for pending in self._interfaces.values())
        return summaries
