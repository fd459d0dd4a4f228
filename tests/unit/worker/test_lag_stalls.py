"""The stall detection of the lag meter: what is restarted, what ends the worker, and what is only slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import TopicPartition
from faust.types import TP

from schemas.errors import DependencyError
from tests.unit.worker.lag_harness import HERE, Harness, lag_harness
from tests.unit.worker.ledgers import FakeMessage
from worker.kafka.batch import RecordBatch
from worker.kafka.lag import LagMeter


@pytest.fixture
def bench() -> Iterator[Harness]:
    with lag_harness() as bench:
        yield bench


@dataclass
class Busy:
    """Partitions whose batches are read and finished in order, while `HERE` does not progress."""

    bench: Harness
    tps: list[TP]
    records: int = 2
    offset: int = 0

    def start(self, tp: TP) -> RecordBatch:
        """Read a batch and begin to score it."""
        assignment = self.bench.ledger.assignment(tp)
        assert assignment is not None
        ends = (self.offset, self.offset + self.records - 1)
        batch = RecordBatch(tp, [FakeMessage(offset, written=time.time()) for offset in ends], assignment)  # type: ignore[list-item]
        self.bench.ledger.add(batch)
        assert self.bench.ledger.start(batch)
        return batch

    def run_once(self) -> None:
        """Finish a batch of each partition, check for stalls while the next ones are in flight, and finish those."""
        for is_first in (True, False):
            batches = [self.start(tp) for tp in self.tps]
            self.offset += self.records
            for batch in batches[:-1] if is_first else batches:
                self.bench.ledger.finish(batch)
            if is_first:
                self.bench.measure()
                self.bench.meter.restart_stalled()
                self.bench.ledger.finish(batches[-1])


@pytest.fixture
def busy(bench: Harness) -> Iterator[Busy]:
    """Three busy partitions beside a stalled one, and a meter with a short limit."""
    tps = [TP(HERE.topic, number) for number in (1, 2, 3)]
    bench.meter = LagMeter(bench.consumer, bench.ledger, 0.05)  # type: ignore[arg-type]
    bench.ledger.assign(tps)
    bench.meter.begin([TopicPartition(*HERE, 100), *(TopicPartition(*tp, 0) for tp in tps)])
    bench.consumer.end = 10**9
    yield Busy(bench, tps)
    bench.meter.forget(tps)


def restarted(bench: Harness) -> list[tuple[int, int]]:
    return [(int(place.partition), int(place.offset)) for place in bench.consumer.sought]


def check(bench: Harness, times: int = 1) -> None:
    """Measure and check for stalls, with a client that has nothing left to return."""
    for _ in range(times):
        bench.meter.ran_dry()
        bench.measure()
        bench.meter.restart_stalled()


def until_given_up(busy: Busy, before: Callable[[], None] = lambda: None) -> None:
    """Keep the partitions busy until the meter stops the worker; fail if it does not."""

    def keep_busy() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            before()
            busy.run_once()

    with pytest.raises(DependencyError, match="partition 0 of lag-test is stalled although the broker answers"):
        keep_busy()


def test_a_partition_does_not_stall_while_the_broker_is_silent(bench: Harness) -> None:
    """The stall time begins when the broker answers."""
    bench.consumer.end = 150
    bench.consumer.silent = True
    bench.measure()
    first = bench.meter.lagging[HERE]
    bench.measure()
    second = bench.meter.lagging[HERE]
    assert (second.seen_since == first.seen_since, second.unchanged_since > first.unchanged_since) == (True, True)


def test_a_stalled_partition_is_sought_once_then_the_worker_stops(bench: Harness) -> None:
    """The only remedy is a seek to its position; if it still stalls afterwards, the worker stops."""
    bench.meter = LagMeter(bench.consumer, bench.ledger, -1.0)  # type: ignore[arg-type]
    bench.meter.begin([TopicPartition(*HERE, 100)])
    bench.consumer.end = 150
    check(bench, times=2)
    assert restarted(bench) == [(0, 100)]
    with pytest.raises(DependencyError, match="is stalled although the broker answers"):
        check(bench)
    assert restarted(bench) == [(0, 100)]


def test_batches_in_flight_are_not_a_stall(bench: Harness) -> None:
    """Slow output delays the partitions; it has its own timeout."""
    bench.meter = LagMeter(bench.consumer, bench.ledger, -1.0)  # type: ignore[arg-type]
    bench.consumer.end = 150
    bench.read(100, 20, written=time.time())
    check(bench, times=3)
    assert restarted(bench) == []


def test_an_unread_partition_stalls_when_the_client_has_nothing_else_to_return(bench: Harness, busy: Busy) -> None:
    """Even with busy partitions and results in flight: it is sought once, then the worker stops."""
    until_given_up(busy, bench.meter.ran_dry)
    assert restarted(bench) == [(0, 100)]


def test_an_unread_partition_stalls_when_another_is_a_million_records_ahead(bench: Harness, busy: Busy) -> None:
    """With a backlog the client never runs out of records, so this distance counts as proof as well."""
    busy.records = 600_000
    until_given_up(busy)
    assert restarted(bench) == [(0, 100)]


def test_a_batch_that_is_never_finished_stalls(bench: Harness, busy: Busy) -> None:
    """Later batches of other partitions are finished; a seek would not help and is not tried."""
    bench.read(100, 20, written=time.time())
    until_given_up(busy)
    assert restarted(bench) == []


def test_a_partition_that_waits_behind_a_backlog_does_not_stall(bench: Harness, busy: Busy) -> None:
    """With a backlog and a slow scorer an unread partition may wait for any length of time."""
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        busy.run_once()
    assert (restarted(bench), bench.meter.lagging[HERE].records > 0) == ([], True)


def test_a_hundred_partitions_with_a_slow_scorer_do_not_stall(bench: Harness) -> None:
    """All are read at once and scored one by one, each batch slower than the stall limit."""
    tps = [TP(HERE.topic, number) for number in range(100)]
    bench.meter = LagMeter(bench.consumer, bench.ledger, 0.001)  # type: ignore[arg-type]
    bench.ledger.assign(tps)
    bench.meter.begin([TopicPartition(*tp, 0) for tp in tps])
    bench.consumer.end = 10**9
    slow = Busy(bench, tps)
    for _ in range(2):
        for batch in [slow.start(tp) for tp in tps]:
            time.sleep(0.002)
            bench.measure()
            bench.meter.restart_stalled()
            bench.ledger.finish(batch)
        slow.offset += slow.records
    bench.meter.forget(tps)
    assert restarted(bench) == []


def test_a_partition_does_not_stall_while_reading_waits_for_commits(bench: Harness) -> None:
    """A restart would not fix the commits: the stall time restarts when reading resumes."""
    bench.consumer.end = 150
    check(bench)
    begun = bench.meter.lagging[HERE].unchanged_since
    bench.meter.measure("lag-test", is_paused=True)
    held = bench.meter.lagging[HERE].unchanged_since
    bench.measure()
    assert begun < held == bench.meter.lagging[HERE].unchanged_since


def test_time_under_back_pressure_does_not_count_as_a_stall(bench: Harness) -> None:
    """While the output is blocked, lag is measured but no partition stalls; afterwards the time counts again."""
    bench.meter = LagMeter(bench.consumer, bench.ledger, 0.0)  # type: ignore[arg-type]
    bench.meter.begin([TopicPartition(*HERE, 100)])
    bench.consumer.end = 150
    check(bench)
    for _ in range(3):
        bench.measure()
    check(bench)
    held = restarted(bench)
    check(bench)
    assert (held, restarted(bench), bench.meter.lagging[HERE].records) == ([], [(0, 100)], 50)
