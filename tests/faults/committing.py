"""Fault plans of commits: requests that arrive again, late, and a coordinator that goes away in the middle."""

from __future__ import annotations

import threading
from typing import Final

from tests.fakes.kafka_requests import Request
from tests.fakes.late_proxy import CatchingProxy, LateProxy, Often
from tests.faults.stage import Stage

_OFTEN: Final = {"HEARTSTREAM_WORKER__COMMIT_INTERVAL_SECONDS": "0.3"}
_OFTEN_AND_KILLED: Final = {
    **_OFTEN,
    # What a killed worker leaves open holds up its successor.
    "HEARTSTREAM_KAFKA__OPTIONS__TRANSACTION_TIMEOUT_MS": "10000",
    "HEARTSTREAM_KAFKA__OPTIONS__MESSAGE_TIMEOUT_MS": "10000",
}


class _Arrivals:
    """Counts the late requests of one run's workers. The last one waits, with all that its worker does, for `go_on`."""

    def __init__(self, stage: Stage, count: int) -> None:
        self._owner = stage.group.encode()
        self._left = count
        self.have_come = threading.Event()
        self.go_on = threading.Event()

    def note(self, late: Request) -> None:
        if late.owner.startswith(self._owner):
            self._left -= 1
            if self._left == 0:
                self.have_come.set()
                self.go_on.wait(10)


def late_end_txn(stage: Stage, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """Commits, aborts and offsets arrive again in the next transaction, where the worker is killed: nothing is lost."""
    rounds, each = (2, 4) if quick else (10, 10)
    chosen, aged = Often(stage.seed, commit=0.9, abort=1, offsets=0.1, consumed=0.5), Often(stage.seed, offsets=0.3)
    stage.together(lambda: stage.broker.interpose(lambda interface: LateProxy(interface, chosen, aged)))
    proxy = stage.broker.interposed()
    assert isinstance(proxy, LateProxy)
    stage.flight.begin()
    for _ in range(rounds):
        arrivals = _Arrivals(stage, each)
        proxy.listeners.append(arrivals.note)
        worker = stage.start_proxied(**_OFTEN_AND_KILLED)
        stage.await_until(arrivals.have_come.is_set, "no request is late")
        stage.crew.kill(worker)
        stage.note_in_flight()
        arrivals.go_on.set()
        proxy.listeners.remove(arrivals.note)
    stage.start_proxied(**_OFTEN_AND_KILLED)
    stage.together(stage.broker.heal)
    stage.await_progress()
    return f"{rounds * each} late, {rounds} kills"


def coordinator_moved(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The coordinator is killed before it answers a commit, and comes back from its log: nothing is lost or doubled."""
    rounds = 1 if quick else 4
    stage.together(lambda: stage.broker.interpose(CatchingProxy))
    proxy = stage.broker.interposed()
    assert isinstance(proxy, CatchingProxy)
    stage.start_proxied(**_OFTEN)
    for _ in range(rounds):
        stage.await_calm()
        proxy.catch(stage.group)
        stage.await_until(lambda: proxy.has_caught(stage.group), "nothing is committed")
        stage.shake(stage.broker.crash)
        stage.await_progress()
    return f"{rounds} in mid-commit"
