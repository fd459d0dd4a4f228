"""Fault plans of commits: requests that arrive again late, and a coordinator that fails during a commit."""

from __future__ import annotations

import threading
from typing import Final

from tests.fakes.kafka_requests import Request
from tests.fakes.late_proxy import CatchingProxy, LateProxy, Often
from tests.faults.plan_run import PlanRun

_OFTEN: Final = {"HEARTSTREAM_WORKER__COMMIT_INTERVAL_SECONDS": "0.3"}
_OFTEN_AND_KILLED: Final = {
    **_OFTEN,
    # The open transaction of a killed worker delays its successor.
    "HEARTSTREAM_KAFKA__OPTIONS__TRANSACTION_TIMEOUT_MS": "10000",
    "HEARTSTREAM_KAFKA__OPTIONS__MESSAGE_TIMEOUT_MS": "10000",
}


class _Arrivals:
    """Counts the late requests of one run's workers. The last one waits for `go_on`, and with it its worker."""

    def __init__(self, run: PlanRun, count: int) -> None:
        self._owner = run.group.encode()
        self._left = count
        self.have_come = threading.Event()
        self.go_on = threading.Event()

    def add(self, late: Request) -> None:
        if late.owner.startswith(self._owner):
            self._left -= 1
            if self._left == 0:
                self.have_come.set()
                self.go_on.wait(10)


def late_end_txn(run: PlanRun, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """Commits, aborts and offsets arrive again in the next transaction, where the worker is killed: nothing is lost."""
    rounds, each = (2, 4) if quick else (10, 10)
    chosen, aged = Often(run.seed, commit=0.9, abort=1, offsets=0.1, consumed=0.5), Often(run.seed, offsets=0.3)
    run.together(lambda: run.broker.interpose(lambda interface: LateProxy(interface, chosen, aged)))
    proxy = run.broker.interposed()
    assert isinstance(proxy, LateProxy)
    run.flight.begin()
    for _ in range(rounds):
        arrivals = _Arrivals(run, each)
        proxy.listeners.append(arrivals.add)
        worker = run.start_proxied(**_OFTEN_AND_KILLED)
        run.await_until(arrivals.have_come.is_set, "no request is late")
        run.workers.kill(worker)
        run.note_in_flight()
        arrivals.go_on.set()
        proxy.listeners.remove(arrivals.add)
    run.start_proxied(**_OFTEN_AND_KILLED)
    run.together(run.broker.heal)
    run.await_progress()
    return f"{rounds * each} late, {rounds} kills"


def coordinator_moved(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The coordinator is killed before it answers a commit, and recovers from its log: nothing is lost or repeated."""
    rounds = 1 if quick else 4
    run.together(lambda: run.broker.interpose(CatchingProxy))
    proxy = run.broker.interposed()
    assert isinstance(proxy, CatchingProxy)
    run.start_proxied(**_OFTEN)
    for _ in range(rounds):
        run.await_calm()
        proxy.catch(run.group)
        run.await_until(lambda: proxy.has_caught(run.group), "nothing is committed")
        run.shake(run.broker.crash)
        run.await_progress()
    return f"{rounds} in mid-commit"
