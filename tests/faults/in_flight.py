"""Results in flight when workers lose partitions: written but uncommitted ones, and unwritten ones."""

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

_INTERVAL_SECONDS: Final = 0.25
_TOGETHER_SECONDS: Final = 1.0
"""Losses within this time count as one: an observation covers the whole group."""


class Observation(msgspec.Struct, frozen=True):
    """The committed offset of each partition at one time (Unix time), and the number of unwritten results.

    The latter is by the workers' metrics, as only they know it.
    """

    at: float
    committed: dict[int, int]
    unwritten: int


class InFlightRecorder:
    """Observes periodically from `begin` to `end`, in a thread of its own."""

    def __init__(self, committed: Callable[[], dict[int, int]], unwritten: Callable[[], int]) -> None:
        self.observations: list[Observation] = []
        self._committed = committed
        self._unwritten = unwritten
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flight", daemon=True)

    def begin(self) -> None:
        """Start observing unless started; the first observation is complete on return, before any fault."""
        if not self._thread.is_alive():
            self._observe()
            self._thread.start()

    def end(self) -> None:
        """Stop observing."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(_INTERVAL_SECONDS):
            self._observe()

    def _observe(self) -> None:
        with suppress(KafkaException):
            # While the broker is unreachable, the last observation remains.
            committed = self._committed()
            self.observations.append(Observation(time.time(), committed, self._unwritten()))


def lost_in_flight(observations: Sequence[Observation], losses: Iterable[float], results: Iterable[Result]) -> int:
    """Return the total number of results in flight at each observed loss of partitions."""
    first: dict[Source, float] = {}
    for result in results:
        first[result.source] = min(result.written, first.get(result.source, result.written))
    return sum(_in_flight(observations, moment, first) for moment in separate_losses(losses))


def separate_losses(losses: Iterable[float]) -> list[float]:
    """Return the last of each run of losses in close succession."""
    ordered = [*sorted(losses), float("inf")]
    return [at for at, following in pairwise(ordered) if at + _TOGETHER_SECONDS <= following]


def _in_flight(observations: Sequence[Observation], moment: float, first: dict[Source, float]) -> int:
    """Count records that had a result at a moment and were not committed at the last observation before it.

    Unwritten results are added. A record counts once: otherwise every duplicate would excuse itself.
    """
    before = [observation for observation in observations if observation.at <= moment]
    if not before:
        return 0
    committed = before[-1].committed
    written = sum(at <= moment and source.offset >= committed.get(source.partition, 0) for source, at in first.items())
    return written + before[-1].unwritten
