"""What a plan acts on: one broker, one set of topics, a load, a crew of workers, and their outcomes."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runtime.settings import Topics
from tests.faults.crew import Crew, Member
from tests.faults.flight import FlightRecorder
from tests.faults.load import Load
from tests.faults.outcomes import Outcomes
from tests.support.proxied_broker import Broker

if TYPE_CHECKING:
    from tests.faults.swapping import Alternatives

SESSION_SECONDS: Final = 3.0
_TURN_SECONDS: Final = 0.1
_PROGRESS_SECONDS: Final = 120.0
_SILENCE_SECONDS: Final = 90.0
_CALM_SECONDS: Final = 2.0
"""So much of the load is uncommitted at most when the group is up to date: it commits every second."""


class FaultDidNotOccurError(Exception):
    """The plan could not bring about what it is there for, so its result would mean nothing."""


class Together:
    """Lets runs that share a broker do something to it once, all at the same moment."""

    def __init__(self, parties: int) -> None:
        self._parties = parties
        self._changed = threading.Condition()
        self._waiting = 0
        self._rounds = 0

    def do(self, action: Callable[[], None]) -> None:
        """Wait for all, have one of them act, and return when it is done."""
        with self._changed:
            this = self._rounds
            self._waiting += 1
            self._changed.wait_for(lambda: self._rounds != this or self._waiting >= self._parties)
            if self._rounds != this:
                return
            try:
                action()
            finally:
                self._waiting = 0
                self._rounds += 1
                self._changed.notify_all()

    def leave(self) -> None:
        """Let nobody wait for this run any more."""
        with self._changed:
            self._parties -= 1
            self._changed.notify_all()


class Stage:
    """One run of one plan. `in_flight` adds up what was not committed at each fault: no more may be repeated.

    To that comes what `flight` saw when workers lost partitions later. `struck` has the offsets that sudden faults met,
    by partition. `loads` has one for each topic that bore the name, `load` is the last. `reread` counts results for
    records of a new topic that come again, as workers read them before they noticed that it is new; None where the
    topic stays. `link` names the model that is to be served, `alternatives` are what it may name.
    """

    link: Path
    alternatives: Alternatives

    def __init__(
        self, broker: Broker, topics: Topics, crew: Crew, load: Load, outcomes: Outcomes, together: Together, seed: int
    ) -> None:
        self.broker, self.topics, self.crew, self.outcomes = broker, topics, crew, outcomes
        self.group = f"group-{topics.patients}"
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
        self.in_flight = 0
        self.struck: list[dict[int, range]] = []
        self.loads = [load]
        self.reread: int | None = None
        self.flight = FlightRecorder(outcomes.committed, crew.outstanding)
        self._together = together

    @property
    def load(self) -> Load:
        """What flows now."""
        return self.loads[-1]

    def together(self, action: Callable[[], None]) -> None:
        """Do something to the shared broker, once for all runs."""
        self._together.do(action)

    def start_worker(self, **settings: str) -> Member:
        """Start a worker that reaches the broker directly."""
        return self.crew.start(HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=self.broker.direct, **settings)

    def start_proxied(self, **settings: str) -> Member:
        """Start a worker that reaches the broker through the proxy."""
        return self.crew.start(HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=self.broker.proxied, **settings)

    def note_in_flight(self) -> None:
        """A fault happens: add what is not committed now to what may be repeated."""
        self.in_flight += self.outcomes.uncommitted()

    def strike(self, fault: Callable[[], None]) -> None:
        """Bring a sudden fault about, once for all runs, and add what was in flight then to what may be repeated.

        That is what lay on the topic when the fault was there, and was not committed just before. All runs have come
        when the first is asked: while one waits for another, records flow. What workers take up from then on is seen by
        `flight`.
        """
        self._together.do(_wait_for_all)
        committed = self.outcomes.committed()
        self._together.do(fault)
        struck = {partition: range(committed.get(partition, 0), end) for partition, end in self.outcomes.ends().items()}
        self.in_flight += sum(map(len, struck.values()))
        self.struck.append(struck)
        self.flight.begin()

    def shake(self, fault: Callable[[], None]) -> None:
        """Bring about a fault after which the broker is as before, once for all runs.

        Nothing is repeated for that alone; what was in flight when workers lost partitions by it is seen by `flight`.
        """
        self.flight.begin()
        self._together.do(_wait_for_all)
        self._together.do(fault)

    def await_at_work(self, workers: int) -> None:
        """Wait until so many members of the group have partitions."""
        self.await_until(
            lambda: self.broker.members(self.group, working=True) == workers, "the group does not come together"
        )

    def await_progress(self, results: int = 200) -> None:
        """Wait until so many more results are written, with the crew tended; the run fails if they do not come."""
        wanted = self.outcomes.written() + results
        self.await_until(lambda: self.outcomes.written() >= wanted, "no results come")

    def await_calm(self) -> None:
        """Wait until the group is at work, has worked off its backlog, and commits as it goes."""
        self.await_until(lambda: bool(self.outcomes.committed()), "nothing is committed")
        limit = _CALM_SECONDS * self.load.rate
        self.await_until(lambda: self.outcomes.uncommitted() < limit, "the backlog does not shrink")

    def await_until(self, condition: Callable[[], bool], failure: str) -> None:
        """Wait for a condition with the crew tended; the run fails with `failure` if it does not come."""
        deadline = time.monotonic() + _PROGRESS_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(failure)
            self.crew.tend()
            if self.crew.gave_up:
                raise RuntimeError("workers end again and again")
            time.sleep(_TURN_SECONDS)

    def last(self, seconds: float) -> None:
        """Let a fault last, with the crew tended."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.crew.tend()
            time.sleep(min(left, _TURN_SECONDS))

    def await_outcomes(self) -> None:
        """Read until every record has an outcome; what has none when nothing has come for long is lost."""
        answered, since = 0, time.monotonic()
        while len(self.outcomes.answered) < len(self.load.sent):
            self.outcomes.read(0.2)
            self.crew.tend()
            if len(self.outcomes.answered) > answered:
                answered, since = len(self.outcomes.answered), time.monotonic()
            if self.crew.gave_up or time.monotonic() - since > _SILENCE_SECONDS:
                return


def _wait_for_all() -> None:
    """Do nothing: to come together is all."""


def tell(text: str) -> None:
    """Write one line of progress to standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
