"""Fault plans of the network between workers and broker. The producer and the accounting consumer go round it."""

from __future__ import annotations

from tests.fakes.tcp_proxy import Mode
from tests.faults.stage import SESSION_SECONDS, FaultDidNotOccurError, Stage


def unreachable(stage: Stage, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """The broker is unreachable for 60 s: workers wait, rejoin and go on, and nothing is lost (faust #532)."""
    seconds = 8.0 if quick else 60.0
    _start_two(stage)
    stage.strike(stage.broker.proxy.vanish)
    stage.last(seconds)
    stage.together(stage.broker.proxy.come_back)
    stage.await_progress()
    return f"{seconds:.0f} s"


def cut(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """Every connection is reset again and again: nothing is lost, and commits go on (robinhood #736)."""
    cuts = 5 if quick else 30
    _start_two(stage)
    for _ in range(cuts):
        stage.strike(stage.broker.proxy.cut)
        stage.last(stage.rng.uniform(0.1, 2.0))
    stage.await_progress()
    return f"{cuts} cuts"


def slow(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """Every 16 KiB take 0.2 s more, both ways: nothing is lost."""
    seconds = 5.0 if quick else 30.0
    _start_two(stage)
    stage.strike(lambda: stage.broker.proxy.set_mode(Mode.SLOW))
    stage.last(seconds)
    stage.together(lambda: stage.broker.proxy.set_mode(Mode.PASS))
    stage.await_progress()
    return f"{seconds:.0f} s"


def half_open(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """Bytes vanish and connections stay open, and those never work again: nothing is lost, one flush is repeated.

    From the second time on a worker is just joining, so that others are in the middle of a rebalance, where the client
    does not watch over its session.
    """
    rounds, settings = (1 if quick else 3), {"HEARTSTREAM_KAFKA__OPTIONS__SOCKET_TIMEOUT_MS": "10000"}
    _start_two(stage, **settings)
    for number in range(rounds):
        stage.await_calm()
        if number:
            stage.start_proxied(**settings)
            stage.await_until(
                lambda members=2 + number: stage.broker.members(stage.group) == members, "no worker joins"
            )
        stage.strike(lambda: stage.broker.proxy.set_mode(Mode.SWALLOW))
        stage.last(2 * SESSION_SECONDS)
        stage.together(lambda: stage.broker.proxy.set_mode(Mode.PASS))
        stage.await_progress()
    return f"{rounds} times {2 * SESSION_SECONDS:.0f} s"


def commit_refused(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """Commits arrive after the group has gone on without their sender, and are refused: one flush is repeated (#611).

    A worker's requests are held on their way until its session has timed out and another worker has its partitions;
    then they go on, to a coordinator that no longer knows the generation in them. Nothing is lost.
    """
    rounds = 1 if quick else 5
    stage.start_proxied(HEARTSTREAM_WORKER__COMMIT_INTERVAL_SECONDS="0.3")
    stage.start_worker()
    for _ in range(rounds):
        stage.await_at_work(2)
        stage.await_calm()
        stage.strike(lambda: stage.broker.proxy.set_mode(Mode.HOLD))
        stage.await_until(lambda: stage.broker.members(stage.group) == 1, "the group does not miss its member")
        stage.await_progress()
        stage.together(lambda: stage.broker.proxy.set_mode(Mode.PASS))
    stage.await_at_work(2)
    refused = stage.crew.logs().count("offset commit failed")
    if not refused and "PROCESSING_GUARANTEE" not in "".join(stage.crew.settings):
        raise FaultDidNotOccurError("no commit was refused")
    if len(stage.crew.losses()) < rounds:
        raise FaultDidNotOccurError("a worker whose requests were held did not lose its partitions")
    return f"{rounds} sessions lost, {refused} commits refused"


def _start_two(stage: Stage, **settings: str) -> None:
    for _ in range(2):
        stage.start_proxied(**settings)
    stage.await_calm()
