"""What is in flight when workers lose partitions: results that are written and not committed, and those to come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Final

import msgspec
from confluent_kafka import KafkaException

from schemas.records import Source
from tests.faults.account import Result

_LOOK_SECONDS: Final = 0.25
_TOGETHER_SECONDS: Final = 1.0
"""Losses within this time are one: a look is at the whole group."""


class Look(msgspec.Struct, frozen=True):
    """One moment (Unix time): the offset that each partition's group had committed, and results that were on their way.

    These are the workers' own word, as nobody else sees them.
    """

    at: float
    committed: dict[int, int]
    on_their_way: int


class FlightRecorder:
    """Looks again and again from `begin` to `end`, in a thread of its own."""

    def __init__(self, committed: Callable[[], dict[int, int]], on_their_way: Callable[[], int]) -> None:
        self.looks: list[Look] = []
        self._committed = committed
        self._on_their_way = on_their_way
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flight", daemon=True)

    def begin(self) -> None:
        """Look from now on, if it does not yet; the first look is over when this returns, before any fault."""
        if not self._thread.is_alive():
            self._look()
            self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        with suppress(KafkaException):
            # A broker that is away for long: the last look stands.
            committed = self._committed()
            self.looks.append(Look(time.time(), committed, self._on_their_way()))


def lost_in_flight(looks: Sequence[Look], losses: Iterable[float], results: Iterable[Result]) -> int:
    """Return what was in flight at each loss of partitions that was looked at, added up."""
    first: dict[Source, float] = {}
    for result in results:
        first[result.source] = min(result.written, first.get(result.source, result.written))
    return sum(_in_flight(looks, moment, first) for moment in moments(losses))


def moments(losses: Iterable[float]) -> list[float]:
    """Return the last of each run of losses that follow each other closely."""
    ordered = [*sorted(losses), float("inf")]
    return [at for at, following in pairwise(ordered) if at + _TOGETHER_SECONDS <= following]


def _in_flight(looks: Sequence[Look], moment: float, first: dict[Source, float]) -> int:
    """Count records that had a result at a moment, and were not committed at the last look before it.

    With them go results that were on their way. A record counts once: else every duplicate would allow itself.
    """
    before = [look for look in looks if look.at <= moment]
    if not before:
        return 0
    committed = before[-1].committed
    written = sum(at <= moment and source.offset >= committed.get(source.partition, 0) for source, at in first.items())
    return written + before[-1].on_their_way
