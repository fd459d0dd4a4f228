"""The lag of partitions in records and in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from faust.types import TP

from tests.unit.worker.lag_harness import HERE, Harness, lag_harness


@pytest.fixture
def bench() -> Iterator[Harness]:
    with lag_harness() as bench:
        yield bench


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
