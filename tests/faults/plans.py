"""The fault plans, one function each; its docstring says what happens and what must hold. See docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from schemas.errors import DependencyError, RejectionCode
from tests.faults import committing, network, poison, swapping, topics, upstream
from tests.faults.crew import Member
from tests.faults.load import Load, Recipe
from tests.faults.stage import SESSION_SECONDS, FaultDidNotOccurError, Stage
from tests.faults.upstream import AbortingLoad

Act = Callable[[Stage, bool], str]
"""Runs a plan, the short way if told so, and says what was done."""


class Plan(msgspec.Struct, frozen=True):
    """A fault plan and what it needs.

    `graceful`: nothing may be repeated, whatever the guarantee. `repeat_seconds`: each time that partitions are lost,
    no more of one may be repeated than it gets in so many seconds, beyond what it had uncommitted when faults struck.
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
        """The first sentence of what it says of itself."""
        return (self.act.__doc__ or "").split("\n", maxsplit=1)[0]


def kill(stage: Stage, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """`kill -9` of the worker, 30 times at random moments: nothing is lost, no more than was in flight is repeated."""
    return _kill(stage, 3 if quick else 30)


def kill_static(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """`kill -9` of a worker with static membership, whose place the next one takes at once: the same holds."""
    return _kill(stage, 3 if quick else 15, HEARTSTREAM_WORKER__INSTANCE_ID="one")


def _kill(stage: Stage, kills: int, **settings: str) -> str:
    worker = stage.start_worker(**settings)
    for _ in range(kills):
        if stage.rng.random() < 0.9:
            stage.await_progress()
        stage.last(stage.rng.uniform(0, 1 if kills < 5 else 3))
        stage.crew.kill(worker)
        stage.note_in_flight()
        worker = stage.start_worker(**settings)
    return f"{kills} kills"


def rebalance(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """Two to four workers join and leave (SIGTERM) without pause: nothing is lost and nothing is repeated."""
    return _join_and_leave(stage, changes=4 if quick else 24)


def hundred_partitions(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The same with 100 partitions, where stock Faust hangs at shutdown (robinhood #402): each worker ends in time."""
    return _join_and_leave(stage, changes=3 if quick else 10)


def _join_and_leave(stage: Stage, changes: int) -> str:
    crew = [stage.start_worker(), stage.start_worker()]
    stage.await_progress()
    joined = left = 0
    while joined + left < changes:
        if len(crew) == 2 or (len(crew) == 3 and stage.rng.random() < 0.5):
            crew.append(stage.start_worker())
            joined += 1
        else:
            leaver = crew.pop(stage.rng.randrange(len(crew)))
            stage.crew.await_ready(leaver)
            stage.crew.stop(leaver)
            left += 1
    return f"{joined} joins, {left} leaves"


def zombie(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """SIGSTOP for longer than the session timeout, a second worker takes over, SIGCONT: nothing is lost."""
    rounds = 1 if quick else 6
    awake = stage.start_worker()
    for _ in range(rounds):
        stage.await_calm()
        stage.last(stage.rng.uniform(0, 1))
        asleep = awake
        stage.crew.freeze(asleep)
        stage.note_in_flight()
        awake = stage.start_worker()
        stage.last(SESSION_SECONDS)
        stage.await_progress()
        stage.crew.thaw(asleep)
        stage.await_progress()
        _retire(stage, asleep)
    return f"{rounds} zombies"


def _retire(stage: Stage, member: Member) -> None:
    """Let a thawed worker go; one that was fenced has ended by itself, and its successor goes instead."""
    while True:
        stage.crew.tend()
        oldest = member if member in stage.crew.members else stage.crew.members[-1]
        try:
            stage.crew.await_ready(oldest)
        except DependencyError:
            # It was fenced just now.
            continue
        stage.crew.stop(oldest)
        return


def broker_restart(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The broker stops in good order and starts again: workers go on, and nothing is lost (faust #532, #175)."""
    return _shake_broker(stage, stage.broker.restart, 1 if quick else 4) + " restarts"


def broker_killed(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The broker is killed and starts again: workers go on, and nothing is lost (faust #532, #523)."""
    return _shake_broker(stage, stage.broker.crash, 1 if quick else 4) + " crashes"


def _shake_broker(stage: Stage, shake: Callable[[], None], times: int) -> str:
    for _ in range(1 if times == 1 else 2):
        stage.start_worker()
    for _ in range(times):
        stage.await_calm()
        stage.shake(shake)
        stage.await_progress()
    return str(times)


def outputs_missing(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The output topics are missing and are created late: the worker ends or waits, and then scores everything."""
    seconds = 5.0 if quick else 45.0
    stage.start_worker()
    stage.last(seconds)
    stage.note_in_flight()
    for topic in (stage.topics.scores, stage.topics.dead_letters):
        stage.broker.create_topic(topic, 4)
    stage.await_progress()
    return f"{seconds:.0f} s without"


def large_records(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """Broken records are larger than the dead letter topic takes: each has its dead letter all the same."""
    stage.start_worker()
    stage.last(5 if quick else 20)
    stage.await_progress()
    return f"{sum(len(record.value or b'') > 20_000 for record in stage.load.sent)} large records"


def poisoned(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The model raises on one record in a batch of 2,000: that one is a dead letter, all others are scored (#527)."""
    stage.load.put(4_000 if quick else 20_000)
    stage.start_worker()
    stage.await_outcomes()
    failures = sum(
        result.faults is not None and result.faults[0].code is RejectionCode.MODEL_FAILURE
        for result in stage.outcomes.results
    )
    if not failures:
        raise FaultDidNotOccurError("the model did not raise on any record")
    return f"{failures} culprits"


def raising(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The agent raises now and then (stock Faust alone): it acknowledges what it has not scored (#527)."""
    stage.start_worker(FAULTS_RAISE_EVERY="20")
    stage.last(10 if quick else 30)
    return "1 batch in 20 raises"


_SLOW_MEMBERS: Final = {"HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "10000"}
"""Nobody dies in these plans, so a busy machine must not make it look so."""

_ONE_FLUSH_SECONDS: Final = 0.6
"""A commit interval (0.25 s), and as much again for a flush and the commit's way to a busy broker."""

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
        # One record of another coding among the first ten of a new partition condemns those (decision 38).
        recipe=Recipe(bad_share=0.0),
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
"""In the order in which they run."""

FAUST_PLANS: Final = (
    *(plan for plan in PLANS if plan.name in {"kill", "rebalance", "broker-restart"}),
    Plan("exception", raising, quick=True),
)
