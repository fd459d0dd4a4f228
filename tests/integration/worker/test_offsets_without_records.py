"""Offsets without a record to score: transaction markers, aborted records and open transactions."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Producer

from tests.support.stream import PARTITIONS, Stream
from tests.support.waiting import await_condition
from tests.support.worker_health import checks, metric
from tests.support.workers import GUARANTEE, Workers, patient, send_patients

GUARANTEES = ("at_least_once", "exactly_once")


def transactional(stream: Stream) -> Producer:
    """Return a producer of patients that is ready for its first transaction."""
    options = {"transactional.id": stream.topics.patients, "log_level": 2}
    producer = Producer({"bootstrap.servers": stream.address, **options})
    producer.init_transactions(60)
    return producer


def produce(stream: Stream, producer: Producer, first: int, stop: int) -> None:
    """Put patients into the open transaction, one partition after the other; they count as sent once delivered."""
    for number in range(first, stop):
        key, value = patient(number)
        stream.send_by(producer, value, key, number % PARTITIONS)
    assert producer.flush(60) == 0


def ends_behind_markers(stream: Stream) -> dict[int, int]:
    """Return the end offsets of partitions whose last record is followed by a marker, once all markers are written."""
    last = {sent.source.partition: 0 for sent in stream.sent}
    for sent in stream.sent:
        last[sent.source.partition] = max(last[sent.source.partition], sent.source.offset)
    ends = {partition: offset + 2 for partition, offset in last.items()}
    await_condition(lambda: {partition: stream.end_of(partition) for partition in ends} == ends, 60)
    return ends


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_retention_up_to_the_last_marker_loses_nothing(stream: Stream, workers: Workers, guarantee: str) -> None:
    """Retention deletes records that were scored, with their markers: the worker starts again without an error.

    The group has committed the end offsets, so every tool shows a lag of zero.
    """
    group, settings = workers.settings["HEARTSTREAM_WORKER__GROUP_ID"], {GUARANTEE: guarantee}
    producer = transactional(stream)
    producer.begin_transaction()
    produce(stream, producer, 0, 20)
    producer.commit_transaction(60)
    ends = ends_behind_markers(stream)
    with workers.start(stream.address, **settings):
        stream.read_all()
        stream.await_offsets(group, ends)
        stream.delete_before(ends)
        with workers.start(stream.address, **settings) as second:
            second.await_ready()
            producer.begin_transaction()
            produce(stream, producer, 20, 40)
            producer.commit_transaction(60)
            stream.read_all()
            second.check()
    assert (stream.answered, stream.repeated()) == (40, 0)
    stream.delete_before(ends_behind_markers(stream))
    with workers.start(stream.address, **settings) as third:
        third.await_ready()
        stream.send(patient(41)[1])
        stream.read_all()
        third.check()
    assert third.process.returncode == 0


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_aborted_records_are_skipped_and_committed(stream: Stream, workers: Workers, guarantee: str) -> None:
    """Records of an aborted transaction get no score, and the offsets behind the last record are committed."""
    group = workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    producer = transactional(stream)
    for number in range(8):
        stream.send(patient(number)[1], b"%d" % number)
    stream.flush()
    sent = len(stream.sent)
    producer.begin_transaction()
    produce(stream, producer, 8, 28)
    producer.abort_transaction(60)
    ends = ends_behind_markers(stream)
    del stream.sent[sent:]
    with workers.start(stream.address, **{GUARANTEE: guarantee}):
        stream.read_all()
        stream.await_offsets(group, ends)
    assert (stream.answered, stream.repeated()) == (8, 0)


def test_an_open_transaction_of_a_producer_is_neither_lag_nor_a_stall(stream: Stream, workers: Workers) -> None:
    """Records behind it cannot be read yet; the worker stays healthy and reports why."""
    limit = 2.0
    producer = transactional(stream)
    send_patients(stream, 0, 100)
    with workers.start(stream.address, HEARTSTREAM_WORKER__STALL_SECONDS=str(limit)) as worker:
        stream.read_all()
        producer.begin_transaction()
        produce(stream, producer, 100, 120)
        send_patients(stream, 120, 220)
        deadline = time.monotonic() + 6 * limit
        while time.monotonic() < deadline:
            assert (checks(worker, "/health/live")[0], metric(worker, "consumer_lag_records")) == (200, 0)
            time.sleep(0.1)
        producer.commit_transaction(60)
        stream.read_all()
        worker.check()
    assert (stream.answered, stream.repeated()) == (220, 0)
