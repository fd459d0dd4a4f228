"""Health checks of the worker that need no broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from faust.types import TP

from worker.health import EventLoopHeartbeat, stalled_partition
from worker.kafka.batch import RecordBatch
from worker.kafka.lag import PartitionLag
from worker.kafka.ledger import Ledger

HERE = TP("patients", 0)


class FakeMessage:
    """Stands for a consumed message at offset 99."""

    def offset(self) -> int:
        return 99


def ledger_at_100() -> Ledger:
    """Return a ledger whose partition is finished up to offset 100."""
    ledger = Ledger()
    ledger.assign([HERE])
    finish_up_to_100(ledger)
    return ledger


def finish_up_to_100(ledger: Ledger) -> None:
    assignment = ledger.assignment(HERE)
    assert assignment is not None
    batch = RecordBatch(HERE, [FakeMessage()], assignment)
    ledger.add(batch)
    assert ledger.start(batch)
    ledger.finish(batch)


def test_a_partition_that_stalls_beyond_the_limit_is_named() -> None:
    """No record was finished for 20 seconds although there is lag; 10 seconds are allowed."""
    behind = {HERE: PartitionLag(100, 5, 0.0, time.monotonic() - 20)}
    assert stalled_partition(behind, ledger_at_100(), 10) == (
        "partition 0 of patients has been stalled for 20 s, with records to score"
    )


def test_a_partition_may_stall_up_to_the_limit() -> None:
    """A batch may take a while."""
    behind = {HERE: PartitionLag(100, 5, 0.0, time.monotonic() - 5)}
    assert stalled_partition(behind, ledger_at_100(), 10) is None


def test_a_partition_that_progressed_since_the_last_measurement_is_healthy() -> None:
    """After a long output failure the first confirmed batch makes the worker healthy at once."""
    behind = {HERE: PartitionLag(50, 55, 0.0, time.monotonic() - 20)}
    assert stalled_partition(behind, ledger_at_100(), 10) is None


async def test_a_blocked_event_loop_is_overdue() -> None:
    """Another thread can read how long the event loop has been blocked while it still is."""
    pulse = EventLoopHeartbeat()
    before = pulse.overdue()
    pulse.start()
    asking = asyncio.get_running_loop().run_in_executor(None, _first_above, pulse.overdue, 0.2)
    time.sleep(1.5)  # noqa: ASYNC251  # the loop is to be busy
    assert (before, await asking > 0.2) == (0.0, True)


def test_the_interval_between_two_beats_is_not_a_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with a short stall limit would otherwise fail its probes just before each beat."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[-1])
    pulse = EventLoopHeartbeat()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_start(pulse))
    loop.close()
    overdue = {}
    for now in (100.0, 100.99, 101.0, 101.5, 104.0):
        clock.append(now)
        overdue[now] = pulse.overdue()
    assert overdue == {100.0: 0.0, 100.99: 0.0, 101.0: 0.0, 101.5: 0.5, 104.0: 3.0}


async def test_an_event_loop_that_runs_again_is_no_longer_overdue() -> None:
    """The delay returns to zero without intervention once the loop is free."""
    pulse = EventLoopHeartbeat()
    pulse.start()
    time.sleep(1.2)  # noqa: ASYNC251  # the loop is to be busy
    late = pulse.overdue()
    async with asyncio.timeout(30):
        while pulse.overdue() > 0.0:  # noqa: ASYNC110  # beats are not told, but asked for
            await asyncio.sleep(0.01)
    assert late >= 0.2


async def _start(pulse: EventLoopHeartbeat) -> None:
    pulse.start()


def _first_above(overdue: Callable[[], float], limit: float) -> float:
    while overdue() <= limit:
        time.sleep(0.01)
    return overdue()
