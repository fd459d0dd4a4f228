"""Fault plans of the topic that is read: partitions are added, or it is deleted and recreated."""

from __future__ import annotations

import time
from typing import Final

from tests.faults.plan_run import FaultDidNotOccurError, PlanRun

SETTINGS: Final = {"HEARTSTREAM_KAFKA__OPTIONS__TOPIC_METADATA_REFRESH_INTERVAL_MS": "1000"}
"""New partitions are noticed soon; by default within half a minute."""
_MORE: Final = 2
_WORKERS: Final = 2
_BACKLOG: Final = 2_000
_BURST: Final = 32_000


def partitions_added(run: PlanRun, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """Partitions are added to the topic while records flow: they are read from their start, and nothing is repeated."""
    for _ in range(_WORKERS):
        run.start_worker()
    # A member that joins at the same time is another fault: `rebalance`.
    run.await_at_work(_WORKERS)
    run.await_calm()
    for _ in range(1 if quick else 6):
        run.outcomes.inputs += _MORE
        run.broker.add_partitions(run.topics.patients, run.outcomes.inputs)
        run.await_until(lambda: _all_committed(run), "no records of new partitions are committed")
    return f"{run.outcomes.inputs - _MORE * (1 if quick else 6)} to {run.outcomes.inputs} partitions"


def _all_committed(run: PlanRun) -> bool:
    committed = run.outcomes.committed()
    return len(committed) == run.outcomes.inputs and min(committed.values()) > 0


def topic_recreated(run: PlanRun, quick: bool) -> str:  # noqa: FBT001
    """The topic is deleted and recreated under the workers: each exits with code 1, and the new one is read completely.

    Under at-least-once, what they read of the new topic before they noticed, in two seconds at most, is repeated out of
    order; under exactly-once nothing is (decision 45). Uncommitted records of the old topic are lost with it. Each
    second time, so many records are produced at once that the new topic goes beyond the offsets read of the old one.
    """
    times = 1 if quick else 4
    for _ in range(_WORKERS):
        run.start_worker()
    run.reread = 0
    for number in range(times):
        run.await_at_work(_WORKERS)
        run.await_calm()
        _replace_topic(run, f"{number + 1}-", burst=_BURST if number % 2 == 0 else 0)
    if set(run.workers.exits) != {1}:
        raise FaultDidNotOccurError(f"workers ended with {run.workers.exits}")
    run.load.stop()
    run.await_until(lambda: run.outcomes.committed() == run.outcomes.ends(), "the new topic is not committed")
    return f"{times} times, {len(run.workers.exits)} workers ended"


def _replace_topic(run: PlanRun, prefix: str, burst: int) -> None:
    """Replace the topic with records in flight, and wait until every worker has noticed."""
    old, ended = run.load, len(run.workers.exits) + _WORKERS
    old.stop()
    old.put(_BACKLOG)
    old.deleted_at = run.outcomes.committed()
    run.broker.replace_topic(run.topics.patients, run.outcomes.inputs)
    run.loads.append(old.successor(prefix))
    run.load.put(burst)
    run.load.start()
    run.await_until(lambda: len(run.workers.exits) >= ended, "workers do not notice that the topic is a new one")
    noticed = time.time()
    run.await_progress()
    run.outcomes.read_to_end()
    results = run.outcomes.results
    run.reread = (run.reread or 0) + len(
        {r.source for r in results if (r.key or b"").startswith(prefix.encode()) and r.written <= noticed}
    )
