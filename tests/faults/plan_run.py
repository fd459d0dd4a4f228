"""One run of a plan: one broker, one set of topics, a load, workers, and their outcomes."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runtime.settings import Topics
from tests.faults.in_flight import InFlightRecorder
from tests.faults.load import Load
from tests.faults.outcomes import Outcomes
from tests.faults.worker_processes import WorkerProcess, WorkerProcesses
from tests.support.proxied_broker import Broker

if TYPE_CHECKING:
    from tests.faults.swapping import Alternatives

SESSION_SECONDS: Final = 3.0
_TURN_SECONDS: Final = 0.1
_PROGRESS_SECONDS: Final = 120.0
_SILENCE_SECONDS: Final = 90.0
_CALM_SECONDS: Final = 2.0
"""An upper limit of the uncommitted load of a group without a backlog: it commits every second."""


class FaultDidNotOccurError(Exception):
    """The plan could not cause its fault, so its result would be meaningless."""


class Together:
    """Lets runs that share a broker do something to it once, all at the same time."""

    def __init__(self, parties: int) -> None:
        self._parties = parties
        self._changed = threading.Condition()
        self._waiting = 0
        self._rounds = 0

    def do(self, action: Callable[[], None]) -> None:
        """Wait for all runs, let one of them call the action, and return when it is done."""
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
        """Make the others no longer wait for this run."""
        with self._changed:
            self._parties -= 1
            self._changed.notify_all()


class PlanRun:
    """One run of one plan. `in_flight` adds up what was uncommitted at each fault: no more may be repeated.

    To that comes what `flight` observes when workers lose partitions later. `struck` has the offsets in flight at
    sudden faults, by partition. `loads` has one for each topic of the name, and `load` is the last. `reread` counts
    results for records of a new topic that are repeated, as workers read them before they noticed that it is new; None
    if the topic stays. `link` names the model to serve, `alternatives` are the models that it may name.
    """

    link: Path
    alternatives: Alternatives

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        workers: WorkerProcesses,
        load: Load,
        outcomes: Outcomes,
        together: Together,
        seed: int,
    ) -> None:
        self.broker, self.topics, self.workers, self.outcomes = broker, topics, workers, outcomes
        self.group = f"group-{topics.patients}"
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
        self.in_flight = 0
        self.struck: list[dict[int, range]] = []
        self.loads = [load]
        self.reread: int | None = None
        self.flight = InFlightRecorder(outcomes.committed, workers.in_flight)
        self._together = together

    @property
    def load(self) -> Load:
        """The current load."""
        return self.loads[-1]

    def together(self, action: Callable[[], None]) -> None:
        """Do something to the shared broker, once for all runs."""
        self._together.do(action)

    def start_worker(self, **settings: str) -> WorkerProcess:
        """Start a worker that connects to the broker directly."""
        return self.workers.start(HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=self.broker.direct, **settings)

    def start_proxied(self, **settings: str) -> WorkerProcess:
        """Start a worker that connects to the broker through the proxy."""
        return self.workers.start(HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=self.broker.proxied, **settings)

    def note_in_flight(self) -> None:
        """Add what is uncommitted now, at a fault, to what may be repeated."""
        self.in_flight += self.outcomes.uncommitted()

    def strike(self, fault: Callable[[], None]) -> None:
        """Cause a sudden fault, once for all runs, and add what was in flight then to what may be repeated.

        That is what was on the topic at the fault, and not committed just before it. All runs arrive before offsets are
        read, as records flow while one waits for another. `flight` observes what workers consume after that.
        """
        self._together.do(_wait_for_all)
        committed = self.outcomes.committed()
        self._together.do(fault)
        struck = {partition: range(committed.get(partition, 0), end) for partition, end in self.outcomes.ends().items()}
        self.in_flight += sum(map(len, struck.values()))
        self.struck.append(struck)
        self.flight.begin()

    def shake(self, fault: Callable[[], None]) -> None:
        """Cause a fault after which the broker is as before, once for all runs.

        The fault itself allows no repeats; `flight` observes what was in flight when workers lost partitions by it.
        """
        self.flight.begin()
        self._together.do(_wait_for_all)
        self._together.do(fault)

    def await_at_work(self, workers: int) -> None:
        """Wait until this number of members of the group has partitions."""
        self.await_until(
            lambda: self.broker.members(self.group, working=True) == workers, "the group does not come together"
        )

    def await_progress(self, results: int = 200) -> None:
        """Wait for more results while restarting workers; the run fails on a timeout."""
        wanted = self.outcomes.written() + results
        self.await_until(lambda: self.outcomes.written() >= wanted, "no results come")

    def await_calm(self) -> None:
        """Wait until the group has processed its backlog and commits continuously."""
        self.await_until(lambda: bool(self.outcomes.committed()), "nothing is committed")
        limit = _CALM_SECONDS * self.load.rate
        self.await_until(lambda: self.outcomes.uncommitted() < limit, "the backlog does not shrink")

    def await_until(self, condition: Callable[[], bool], failure: str) -> None:
        """Wait for a condition while restarting workers; the run fails with `failure` on a timeout."""
        deadline = time.monotonic() + _PROGRESS_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(failure)
            self.workers.restart_ended()
            if self.workers.gave_up:
                raise RuntimeError("workers exit too often")
            time.sleep(_TURN_SECONDS)

    def last(self, seconds: float) -> None:
        """Let a fault last, while restarting workers."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.workers.restart_ended()
            time.sleep(min(left, _TURN_SECONDS))

    def await_outcomes(self) -> None:
        """Read until every record has an outcome; after a long silence, those without one are lost."""
        answered, since = 0, time.monotonic()
        while len(self.outcomes.answered) < len(self.load.sent):
            self.outcomes.read(0.2)
            self.workers.restart_ended()
            if len(self.outcomes.answered) > answered:
                answered, since = len(self.outcomes.answered), time.monotonic()
            if self.workers.gave_up or time.monotonic() - since > _SILENCE_SECONDS:
                return


def _wait_for_all() -> None:
    """Do nothing: the runs only meet."""


def log_progress(text: str) -> None:
    """Write one line of progress to standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
