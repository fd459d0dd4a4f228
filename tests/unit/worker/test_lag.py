"""The lag meter and its stall detection, with a fake consumer that answers as librdkafka does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_CREATE_TIME, KafkaError, KafkaException, TopicPartition
from faust.types import TP

from runtime import metrics
from schemas.errors import DependencyError
from worker.kafka.batch import RecordBatch
from worker.kafka.lag import LagMeter
from worker.kafka.ledger import Ledger

HERE = TP("lag-test", 0)


@dataclass
class FakeMessage:
    """Stands for a consumed message; librdkafka makes the real ones."""

    at: int
    written: float

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, int(self.written * 1000)

    def __len__(self) -> int:
        return 100


@dataclass
class FakeConsumer:
    """A consumer of a partition with offsets from `low` to `end`; `silent` stands for an unreachable broker."""

    low: int = 0
    end: int = 0
    unreadable: int = 0
    """Records at the end whose transaction is open: the client knows of them, and the broker does not count them."""
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    sought: list[TopicPartition] = field(default_factory=list)

    def get_watermark_offsets(
        self, _partition: TopicPartition, timeout: float = -1, *, cached: bool = False
    ) -> tuple[int, int]:
        if not cached:
            self.asked.append("end")
            if self.silent:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        del timeout
        return self.low, self.end + (self.unreadable if cached else 0)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Do nothing: no partition is ever paused."""

    def seek(self, position: TopicPartition) -> None:
        self.sought.append(position)

    def list_topics(self, topic: str, timeout: float) -> None:
        del timeout
        self.asked.append(topic)
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


@dataclass
class Harness:
    """A meter with everything that it measures."""

    consumer: FakeConsumer
    ledger: Ledger
    meter: LagMeter

    def read(self, first: int, count: int, *, written: float) -> RecordBatch:
        assignment = self.ledger.assignment(HERE)
        assert assignment is not None
        batch = RecordBatch(HERE, [FakeMessage(first + i, written) for i in range(count)], assignment)  # type: ignore[arg-type]
        self.ledger.add(batch)
        assert self.ledger.start(batch)
        return batch

    def measure(self) -> tuple[float, float] | None:
        """Return the lag in records and in seconds, as the metrics show it."""
        self.meter.measure("lag-test")
        shown = {
            s.name: s.value for s in metrics.read(metrics.render()[0].decode()) if s.labels.get("topic") == HERE.topic
        }
        if not shown:
            return None
        return shown["heartstream_consumer_lag_records"], shown["heartstream_consumer_lag_seconds"]


@pytest.fixture
def bench() -> Harness:
    """A partition that is assigned to this worker, read from offset 100."""
    consumer, ledger = FakeConsumer(), Ledger()
    meter = LagMeter(consumer, ledger, 10.0)  # type: ignore[arg-type]  # has the methods that are called
    ledger.assign([HERE])
    meter.begin([TopicPartition(*HERE, 100)])
    yield Harness(consumer, ledger, meter)
    meter.forget([HERE])


def test_records_are_lag_until_their_outcome_is_confirmed(bench: Harness) -> None:
    """Reading a record does not reduce the lag; confirming its outcome does."""
    bench.consumer.end = 130
    batch = bench.read(100, 20, written=time.time() - 5)
    first = bench.measure()
    bench.ledger.finish(batch)
    second = bench.measure()
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (30, 10)


def test_seconds_are_the_age_of_the_oldest_record_in_flight(bench: Harness) -> None:
    """The age is computed from the record's own timestamp."""
    bench.consumer.end = 120
    bench.read(100, 20, written=time.time() - 5)
    shown = bench.measure()
    assert shown is not None
    assert 5 <= shown[1] < 10


def test_without_lag_there_is_no_lag_in_seconds(bench: Harness) -> None:
    """An idle topic has no lag, however old its last record is."""
    bench.consumer.end = 120
    bench.ledger.finish(bench.read(100, 20, written=time.time() - 3600))
    assert bench.measure() == (0, 0)


def test_a_record_that_is_not_read_yet_ages_from_when_it_was_seen(bench: Harness) -> None:
    """Its timestamp is still unknown, so the lag is never more than its actual age."""
    bench.consumer.end = 101
    before = time.monotonic()
    shown = [bench.measure(), bench.measure()]
    assert [value and value[0] for value in shown] == [1, 1]
    assert shown[1] is not None
    assert 0 < shown[1][1] <= time.monotonic() - before


def test_records_of_an_open_transaction_are_not_lag(bench: Harness) -> None:
    """The worker is at the last stable offset, whichever of position and end offset is queried first."""
    others = [TP(HERE.topic, number) for number in (1, 2)]
    bench.ledger.assign(others)
    bench.consumer.end, bench.consumer.unreadable = 120, 50
    bench.ledger.finish(bench.read(100, 20, written=time.time()))
    for tp in (HERE, *others):
        bench.ledger.reached_end(tp, 120)
    for _ in range(5):
        bench.measure()
        assert dict(bench.meter.lagging) == {}
    bench.meter.forget(others)


def test_a_partition_that_was_never_read_has_lag(bench: Harness) -> None:
    """It counts from the committed offset, so a partition that the client never fetches is seen to stall."""
    bench.consumer.end = 150
    assert bench.measure() is not None
    assert bench.meter.lagging[HERE].records == 50


def test_without_a_committed_offset_every_retained_record_is_lag(bench: Harness) -> None:
    """A new group begins at the first retained record."""
    bench.consumer.low, bench.consumer.end = 40, 60
    bench.meter.begin([TopicPartition(*HERE, OFFSET_BEGINNING)])
    bench.measure()
    assert bench.meter.lagging[HERE].records == 20


def test_the_broker_is_not_queried_while_results_are_confirmed(bench: Harness) -> None:
    """A query blocks the consumer thread, and a confirmed result already shows that the broker answers."""
    bench.consumer.end = 200
    bench.measure()
    asked = len(bench.consumer.asked)
    answered = bench.meter.answered_at
    bench.ledger.finish(bench.read(100, 20, written=time.time()))
    bench.measure()
    assert answered is not None
    assert bench.meter.answered_at is not None
    assert (len(bench.consumer.asked), bench.meter.answered_at > answered) == (asked, True)


def test_a_silent_broker_is_queried_less_often(bench: Harness) -> None:
    """Each query that times out costs the consumer thread a second."""
    bench.consumer.silent = True
    for _ in range(5):
        bench.measure()
    assert (bench.consumer.asked, bench.meter.answered_at) == (["end"], None)


def test_a_worker_without_partitions_queries_its_topic(bench: Harness) -> None:
    """Without anything to read it still knows whether the broker answers."""
    bench.ledger.remove([HERE])
    bench.meter.measure("patients")
    assert (bench.consumer.asked, bench.meter.answered_at is not None) == (["patients"], True)


def test_a_partition_does_not_stall_while_the_broker_is_silent(bench: Harness) -> None:
    """The stall time begins when the broker answers."""
    bench.consumer.end = 150
    bench.consumer.silent = True
    bench.measure()
    first = bench.meter.lagging[HERE]
    bench.measure()
    second = bench.meter.lagging[HERE]
    assert (second.seen_since == first.seen_since, second.unchanged_since > first.unchanged_since) == (True, True)


def test_the_time_since_the_last_finished_batch_is_tracked(bench: Harness) -> None:
    """It runs from the first measurement that finds batches in flight, until one of them is finished."""
    bench.consumer.end = 140
    bench.measure()
    nothing = bench.meter.unfinished_since
    batch = bench.read(100, 20, written=time.time())
    other = bench.read(120, 20, written=time.time())
    bench.measure()
    since = bench.meter.unfinished_since
    bench.measure()
    same = bench.meter.unfinished_since
    bench.ledger.finish(batch)
    bench.measure()
    moved = bench.meter.unfinished_since
    bench.ledger.finish(other)
    bench.measure()
    assert (nothing, bench.meter.unfinished_since) == (None, None)
    assert since is not None
    assert moved is not None
    assert (since == same, moved > since) == (True, True)


def test_a_revoked_partition_shows_no_lag(bench: Harness) -> None:
    """Its new owner reports it."""
    bench.consumer.end = 150
    bench.measure()
    bench.ledger.remove([HERE])
    bench.meter.forget([HERE])
    assert (bench.measure(), dict(bench.meter.lagging)) == (None, {})


def check(bench: Harness, times: int = 1) -> None:
    """Measure and check for stalls, with a client that has nothing left to return."""
    for _ in range(times):
        bench.meter.ran_dry()
        bench.measure()
        bench.meter.restart_stalled()


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
        batch = RecordBatch(tp, [FakeMessage(offset, time.time()) for offset in ends], assignment)  # type: ignore[list-item]
        self.bench.ledger.add(batch)
        assert self.bench.ledger.start(batch)
        return batch

    def run_once(self) -> None:
        """Finish a batch of each partition, check for stalls while the next ones are in flight, and finish those."""
        for look in (True, False):
            batches = [self.start(tp) for tp in self.tps]
            self.offset += self.records
            for batch in batches[:-1] if look else batches:
                self.bench.ledger.finish(batch)
            if look:
                self.bench.measure()
                self.bench.meter.restart_stalled()
                self.bench.ledger.finish(batches[-1])


@pytest.fixture
def busy(bench: Harness) -> Busy:
    """Three busy partitions beside a stalled one, and a meter with a short limit."""
    tps = [TP(HERE.topic, number) for number in (1, 2, 3)]
    bench.meter = LagMeter(bench.consumer, bench.ledger, 0.05)  # type: ignore[arg-type]
    bench.ledger.assign(tps)
    bench.meter.begin([TopicPartition(*HERE, 100), *(TopicPartition(*tp, 0) for tp in tps)])
    bench.consumer.end = 10**9
    yield Busy(bench, tps)
    bench.meter.forget(tps)


def until_given_up(busy: Busy, before: Callable[[], None] = lambda: None) -> None:
    """Keep the partitions busy until the meter stops the worker; fail if it does not."""

    def keep_busy() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            before()
            busy.run_once()

    with pytest.raises(DependencyError, match="partition 0 of lag-test is stalled although the broker answers"):
        keep_busy()


def restarted(bench: Harness) -> list[tuple[int, int]]:
    return [(int(place.partition), int(place.offset)) for place in bench.consumer.sought]


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
