"""Summing rejections up, so that a steady share of bad records does not flood the log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import msgspec


class Rejections(msgspec.Struct, frozen=True):
    """Records that an interface rejected in the last `seconds`, and the codes of their faults."""

    interface: str
    records: int
    codes: tuple[str, ...]
    seconds: float


class _Untold:
    """What an interface has rejected since it was last told of."""

    def __init__(self) -> None:
        self.records = 0
        self.codes: set[str] = set()
        self.since = 0.0
        self.told_at = float("-inf")


class RejectionTally:
    """Says when to tell of rejections: of an interface's first at once, then, once an interval at most, of all since.

    Each record is told of once. Any thread may call.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        """`interval` is in seconds of `clock`."""
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._interfaces: dict[str, _Untold] = {}

    def note(self, interface: str, records: int, codes: Iterable[str]) -> None:
        """Take in rejections."""
        with self._lock:
            untold = self._interfaces.setdefault(interface, _Untold())
            if not untold.records:
                untold.since = self._clock()
            untold.records += records
            untold.codes.update(codes)

    def due(self) -> list[Rejections]:
        """Return what is to be told now: what there is where it is time."""
        return self._take(self._interval)

    def rest(self) -> list[Rejections]:
        """Return what was not told yet: the process ends."""
        return self._take(0.0)

    def _take(self, interval: float) -> list[Rejections]:
        told = []
        with self._lock:
            for interface, untold in self._interfaces.items():
                now = self._clock()
                if untold.records and now - untold.told_at >= interval:
                    codes = tuple(sorted(untold.codes))
                    told.append(Rejections(interface, untold.records, codes, now - untold.since))
                    untold.records, untold.codes, untold.told_at = 0, set(), now
        return told
