"""The fault plans, one function each; its docstring says what happens and what must hold. See docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from schemas.errors import DependencyError, RejectionCode
from tests.faults import committing, network, poison, swapping, topics, upstream
from tests.faults.load import Load, Recipe
from tests.faults.plan_run import SESSION_SECONDS, FaultDidNotOccurError, PlanRun
from tests.faults.upstream import AbortingLoad
from tests.faults.worker_processes import WorkerProcess

Act = Callable[[PlanRun, bool], str]
"""Runs a plan, with fewer faults if `quick`, and returns a summary."""


class Plan(msgspec.Struct, frozen=True):
    """A fault plan and its requirements.

    `graceful`: nothing may be repeated, whatever the guarantee. `repeat_seconds`: at each loss of partitions, no more
    of one may be repeated than it receives in that time, beyond the records that were uncommitted at a fault.
    `shakes_broker`: other plans cannot run at the same time. `quick`: part of the quick selection. `outputs`: whether
    the output topics exist from the start.
    """

    name: str
    act: Act
    graceful: bool = False
    repeat_seconds: float | None = None
    shakes_broker: bool = False
    quick: bool = False
    partitions: int = 4
    recipe: Recipe = Recipe()
    load: type[Load] = Load
    outputs: bool = True
    dead_letter_bytes: int = 20_000_000
    poisoned: bool = False
    swapped: bool = False
    settings: Mapping[str, str] = {}

    @property
    def law(self) -> str:
        """The first sentence of the plan's docstring."""
        return (self.act.__doc__ or "").split("\n", maxsplit=1)[0]


def kill(run: PlanRun, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """`kill -9` of the worker, 30 times at random moments: nothing is lost, no more than was in flight is repeated."""
    return _kill(run, 3 if quick else 30)


def kill_static(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """`kill -9` of a worker with static membership, whose place the next one takes at once: the same holds."""
    return _kill(run, 3 if quick else 15, HEARTSTREAM_WORKER__INSTANCE_ID="one")


def _kill(run: PlanRun, kills: int, **settings: str) -> str:
    worker = run.start_worker(**settings)
    for _ in range(kills):
        if run.rng.random() < 0.9:
            run.await_progress()
        run.last(run.rng.uniform(0, 1 if kills < 5 else 3))
        run.workers.kill(worker)
        run.note_in_flight()
        worker = run.start_worker(**settings)
    return f"{kills} kills"


def rebalance(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """Two to four workers join and leave (SIGTERM) without pause: nothing is lost and nothing is repeated."""
    return _join_and_leave(run, changes=4 if quick else 24)


def hundred_partitions(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The same with 100 partitions, where stock Faust hangs at shutdown (robinhood #402): each worker ends in time."""
    return _join_and_leave(run, changes=3 if quick else 10)


def _join_and_leave(run: PlanRun, changes: int) -> str:
    workers = [run.start_worker(), run.start_worker()]
    run.await_progress()
    joined = left = 0
    while joined + left < changes:
        if len(workers) == 2 or (len(workers) == 3 and run.rng.random() < 0.5):
            workers.append(run.start_worker())
            joined += 1
        else:
            leaver = workers.pop(run.rng.randrange(len(workers)))
            run.workers.await_ready(leaver)
            run.workers.stop(leaver)
            left += 1
    return f"{joined} joins, {left} leaves"


def zombie(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """SIGSTOP for longer than the session timeout, a second worker takes over, SIGCONT: nothing is lost."""
    rounds = 1 if quick else 6
    awake = run.start_worker()
    for _ in range(rounds):
        run.await_calm()
        run.last(run.rng.uniform(0, 1))
        asleep = awake
        run.workers.freeze(asleep)
        run.note_in_flight()
        awake = run.start_worker()
        run.last(SESSION_SECONDS)
        run.await_progress()
        run.workers.thaw(asleep)
        run.await_progress()
        _retire(run, asleep)
    return f"{rounds} zombies"


def _retire(run: PlanRun, member: WorkerProcess) -> None:
    """Stop a thawed worker; one that was fenced has exited by itself, and its successor is stopped instead."""
    while True:
        run.workers.restart_ended()
        oldest = member if member in run.workers.members else run.workers.members[-1]
        try:
            run.workers.await_ready(oldest)
        except DependencyError:
            # It has just been fenced.
            continue
        run.workers.stop(oldest)
        return


def broker_restart(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The broker stops gracefully and restarts: workers continue, and nothing is lost (faust #532, #175)."""
    return _shake_broker(run, run.broker.restart, 1 if quick else 4) + " restarts"


def broker_killed(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The broker is killed and restarts: workers continue, and nothing is lost (faust #532, #523)."""
    return _shake_broker(run, run.broker.crash, 1 if quick else 4) + " crashes"


def _shake_broker(run: PlanRun, shake: Callable[[], None], times: int) -> str:
    for _ in range(1 if times == 1 else 2):
        run.start_worker()
    for _ in range(times):
        run.await_calm()
        run.shake(shake)
        run.await_progress()
    return str(times)


def outputs_missing(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The output topics are missing and created late: the worker exits or waits, and then scores everything."""
    seconds = 5.0 if quick else 45.0
    run.start_worker()
    run.last(seconds)
    run.note_in_flight()
    for topic in (run.topics.scores, run.topics.dead_letters):
        run.broker.create_topic(topic, 4)
    run.await_progress()
    return f"{seconds:.0f} s without"


def large_records(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """Invalid records are larger than the dead letter topic accepts: each has its dead letter all the same."""
    run.start_worker()
    run.last(5 if quick else 20)
    run.await_progress()
    return f"{sum(len(record.value or b'') > 20_000 for record in run.load.sent)} large records"


def poisoned(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The model raises on one record in a batch of 2,000: that one is a dead letter, all others are scored (#527)."""
    run.load.put(4_000 if quick else 20_000)
    run.start_worker()
    run.await_outcomes()
    failures = sum(
        result.faults is not None and result.faults[0].code is RejectionCode.MODEL_FAILURE
        for result in run.outcomes.results
    )
    if not failures:
        raise FaultDidNotOccurError("the model did not raise on any record")
    return f"{failures} culprits"


def raising(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The agent raises now and then (stock Faust only): it acknowledges records that it has not scored (#527)."""
    run.start_worker(FAULTS_RAISE_EVERY="20")
    run.last(10 if quick else 30)
    return "1 batch in 20 raises"


_SLOW_MEMBERS: Final = {"HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "10000"}
"""No worker dies in these plans, so a busy machine must not end a session."""

_ONE_FLUSH_SECONDS: Final = 0.6
"""A commit interval (0.25 s), and a little more than that for a flush and the commit on a busy broker."""

PLANS: Final = (
    Plan("kill", kill, quick=True),
    Plan("kill-static", kill_static),
    Plan("rebalance", rebalance, graceful=True, quick=True, settings=_SLOW_MEMBERS),
    Plan("zombie", zombie),
    Plan("broker-restart", broker_restart, shakes_broker=True, quick=True),
    Plan("broker-killed", broker_killed, shakes_broker=True),
    Plan("unreachable", network.unreachable, shakes_broker=True),
    Plan("cut", network.cut, shakes_broker=True),
    Plan("slow", network.slow, shakes_broker=True),
    Plan("half-open", network.half_open, shakes_broker=True, repeat_seconds=_ONE_FLUSH_SECONDS),
    Plan("commit-refused", network.commit_refused, shakes_broker=True, repeat_seconds=_ONE_FLUSH_SECONDS),
    Plan(
        "more-partitions",
        topics.partitions_added,
        graceful=True,
        settings={**_SLOW_MEMBERS, **topics.SETTINGS},
    ),
    Plan("topic-recreated", topics.topic_recreated, settings=_SLOW_MEMBERS),
    Plan("aborted-input", upstream.aborted_input, graceful=True, load=AbortingLoad, settings=_SLOW_MEMBERS),
    Plan("late-end-txn", committing.late_end_txn, shakes_broker=True, settings=_SLOW_MEMBERS),
    Plan("coordinator-moved", committing.coordinator_moved, shakes_broker=True, settings=_SLOW_MEMBERS),
    Plan("outputs-missing", outputs_missing, outputs=False),
    Plan("100-partitions", hundred_partitions, graceful=True, partitions=100, settings=_SLOW_MEMBERS),
    Plan(
        "large-records",
        large_records,
        recipe=Recipe(rate=300, large_share=0.01, large_bytes=50_000),
        dead_letter_bytes=10_000,
    ),
    Plan("swap", swapping.swap, graceful=True, swapped=True, settings={**_SLOW_MEMBERS, **swapping.SETTINGS}),
    Plan("poison", poisoned, poisoned=True, settings={**poison.SETTINGS, "HEARTSTREAM_WORKER__BATCH_RECORDS": "2000"}),
)
"""In the order of their runs."""

FAUST_PLANS: Final = (
    *(plan for plan in PLANS if plan.name in {"kill", "rebalance", "broker-restart"}),
    Plan("exception", raising, quick=True),
)
