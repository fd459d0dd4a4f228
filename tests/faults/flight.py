"""What is in flight while a fault lasts: results that are written and not committed, and those on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from schemas.records import Source
from tests.faults.account import Result

_LOOK_SECONDS: Final = 0.25


class Look(msgspec.Struct, frozen=True):
    """One moment (Unix time): the offset that each partition's group had committed, and results that were on their way.

    These are the workers' own word, as nobody else sees them.
    """

    at: float
    committed: dict[int, int]
    on_their_way: int


class FlightRecorder:
    """Looks again and again from `begin` to `end`, in a thread of its own. Each fault has its own looks."""

    def __init__(self, committed: Callable[[], dict[int, int]], on_their_way: Callable[[], int]) -> None:
        self._committed = committed
        self._on_their_way = on_their_way
        self._faults: list[list[Look]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flight", daemon=True)

    def begin(self) -> None:
        """A fault begins, and the one before is over."""
        self._faults.append([])
        if not self._thread.is_alive():
            self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def looks(self) -> int:
        """Count the looks at the present fault."""
        return len(self._faults[-1])

    def most(self, results: Iterable[Result]) -> int:
        """Return the most that was in flight at any moment of each fault, added up."""
        written = first_written(results)
        return sum(max((in_flight(look, written) for look in looks), default=0) for looks in self._faults)

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            on_their_way, committed = self._on_their_way(), self._committed()
            # In this order, so that what is written meanwhile counts in any case.
            self._faults[-1].append(Look(time.time(), committed, on_their_way))


def first_written(results: Iterable[Result]) -> Sequence[tuple[Source, float]]:
    """Return when the broker had the first result of each record."""
    first: dict[Source, float] = {}
    for result in results:
        first[result.source] = min(result.written, first.get(result.source, result.written))
    return list(first.items())


def in_flight(look: Look, written: Sequence[tuple[Source, float]]) -> int:
    """Count records that had a result then, and were not committed, with those whose results were on their way."""
    return look.on_their_way + sum(
        at <= look.at and source.offset >= look.committed.get(source.partition, 0) for source, at in written
    )
