"""Fault plans of the network between workers and broker. The load and the outcomes do not use the proxy."""

from __future__ import annotations

from tests.fakes.tcp_proxy import Mode
from tests.faults.plan_run import SESSION_SECONDS, FaultDidNotOccurError, PlanRun


def unreachable(run: PlanRun, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """The broker is unreachable for 60 s: workers wait, rejoin and go on, and nothing is lost (faust #532)."""
    seconds = 8.0 if quick else 60.0
    _start_two(run)
    run.strike(run.broker.proxy.vanish)
    run.last(seconds)
    run.together(run.broker.proxy.come_back)
    run.await_progress()
    return f"{seconds:.0f} s"


def cut(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """Every connection is reset periodically: nothing is lost, and commits continue (robinhood #736)."""
    cuts = 5 if quick else 30
    _start_two(run)
    for _ in range(cuts):
        run.strike(run.broker.proxy.cut)
        run.last(run.rng.uniform(0.1, 2.0))
    run.await_progress()
    return f"{cuts} cuts"


def slow(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """Every 16 KiB take 0.2 s longer in both directions: nothing is lost."""
    seconds = 5.0 if quick else 30.0
    _start_two(run)
    run.strike(lambda: run.broker.proxy.set_mode(Mode.SLOW))
    run.last(seconds)
    run.together(lambda: run.broker.proxy.set_mode(Mode.PASS))
    run.await_progress()
    return f"{seconds:.0f} s"


def half_open(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """Bytes are lost and connections stay open, but never work again: nothing is lost, one flush is repeated.

    From the second time on, a worker is just joining, so that others are in the middle of a rebalance, when the client
    does not check its session.
    """
    rounds, settings = (1 if quick else 3), {"HEARTSTREAM_KAFKA__OPTIONS__SOCKET_TIMEOUT_MS": "10000"}
    _start_two(run, **settings)
    for number in range(rounds):
        run.await_calm()
        if number:
            run.start_proxied(**settings)
            run.await_until(lambda members=2 + number: run.broker.members(run.group) == members, "no worker joins")
        run.strike(lambda: run.broker.proxy.set_mode(Mode.SWALLOW))
        run.last(2 * SESSION_SECONDS)
        run.together(lambda: run.broker.proxy.set_mode(Mode.PASS))
        run.await_progress()
    return f"{rounds} times {2 * SESSION_SECONDS:.0f} s"


def commit_refused(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """Commits arrive after the group has continued without their sender, and are refused: one flush is repeated (#611).

    A worker's requests are held until its session has timed out and another worker has its partitions; then they are
    forwarded to a coordinator that no longer knows their generation. Nothing is lost.
    """
    rounds = 1 if quick else 5
    run.start_proxied(HEARTSTREAM_WORKER__COMMIT_INTERVAL_SECONDS="0.3")
    run.start_worker()
    for _ in range(rounds):
        run.await_at_work(2)
        run.await_calm()
        run.strike(lambda: run.broker.proxy.set_mode(Mode.HOLD))
        run.await_until(lambda: run.broker.members(run.group) == 1, "the group does not miss its member")
        run.await_progress()
        run.together(lambda: run.broker.proxy.set_mode(Mode.PASS))
    run.await_at_work(2)
    refused = run.workers.logs().count("offset commit failed")
    if not refused and "PROCESSING_GUARANTEE" not in "".join(run.workers.settings):
        raise FaultDidNotOccurError("no commit was refused")
    if len(run.workers.losses()) < rounds:
        raise FaultDidNotOccurError("a worker whose requests were held did not lose its partitions")
    return f"{rounds} sessions lost, {refused} commits refused"


def _start_two(run: PlanRun, **settings: str) -> None:
    for _ in range(2):
        run.start_proxied(**settings)
    run.await_calm()
