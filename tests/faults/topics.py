"""Fault plans of the topic that is read: it gets more partitions, or is deleted and made again."""

from __future__ import annotations

import time
from typing import Final

from tests.faults.stage import FaultDidNotOccurError, Stage

SETTINGS: Final = {"HEARTSTREAM_KAFKA__OPTIONS__TOPIC_METADATA_REFRESH_INTERVAL_MS": "1000"}
"""New partitions are seen soon; by default within half a minute."""
_MORE: Final = 2
_WORKERS: Final = 2
_BACKLOG: Final = 2_000
_BURST: Final = 32_000


def partitions_added(stage: Stage, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """The topic gets more partitions while records flow: they are read from the first record on, none is repeated."""
    for _ in range(_WORKERS):
        stage.start_worker()
    stage.await_calm()
    for _ in range(1 if quick else 6):
        stage.outcomes.inputs += _MORE
        stage.broker.add_partitions(stage.topics.patients, stage.outcomes.inputs)
        stage.await_until(lambda: _all_committed(stage), "no records of new partitions are committed")
    return f"{stage.outcomes.inputs - _MORE * (1 if quick else 6)} to {stage.outcomes.inputs} partitions"


def _all_committed(stage: Stage) -> bool:
    committed = stage.outcomes.committed()
    return len(committed) == stage.outcomes.inputs and min(committed.values()) > 0


def topic_recreated(stage: Stage, quick: bool) -> str:  # noqa: FBT001
    """The topic is deleted and made again under the workers: each ends with code 1, and the new one is read whole.

    Under at-least-once, what they read of the new topic before they noticed, two seconds at most, comes again and out
    of order; under exactly-once nothing does (decision 45). What was not committed of the old one is gone with it.
    Every other time, so many records come at once that the new topic goes beyond the offsets at which the old one was
    read.
    """
    times = 1 if quick else 4
    for _ in range(_WORKERS):
        stage.start_worker()
    stage.reread = 0
    for number in range(times):
        stage.await_at_work(_WORKERS)
        stage.await_calm()
        _replace_topic(stage, f"{number + 1}-", burst=_BURST if number % 2 == 0 else 0)
    if set(stage.crew.exits) != {1}:
        raise FaultDidNotOccurError(f"workers ended with {stage.crew.exits}")
    stage.load.stop()
    stage.await_until(lambda: stage.outcomes.committed() == stage.outcomes.ends(), "the new topic is not committed")
    return f"{times} times, {len(stage.crew.exits)} workers ended"


def _replace_topic(stage: Stage, prefix: str, burst: int) -> None:
    """Replace the topic with records in flight, and wait until every worker has noticed."""
    old, ended = stage.load, len(stage.crew.exits) + _WORKERS
    old.stop()
    old.put(_BACKLOG)
    old.deleted_at = stage.outcomes.committed()
    stage.broker.replace_topic(stage.topics.patients, stage.outcomes.inputs)
    stage.loads.append(old.successor(prefix))
    stage.load.put(burst)
    stage.load.start()
    stage.await_until(lambda: len(stage.crew.exits) >= ended, "workers do not notice that the topic is a new one")
    noticed = time.time()
    stage.await_progress()
    stage.outcomes.read_to_end()
    results = stage.outcomes.results
    stage.reread = (stage.reread or 0) + len(
        {r.source for r in results if (r.key or b"").startswith(prefix.encode()) and r.written <= noticed}
    )
