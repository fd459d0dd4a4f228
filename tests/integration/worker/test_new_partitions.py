"""A topic that gets more partitions while workers read it, on a real broker."""

from __future__ import annotations

from collections import Counter

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from runtime.settings import Topics
from tests.support.stream import Stream
from tests.support.workers import PROTOCOL, Workers, patient

BEFORE, AFTER, RECORDS = 2, 6, 3_000


def send_evenly(stream: Stream, partitions: int, first: int, stop: int) -> None:
    """Send patients to all partitions in turn, with a client that knows all of them."""
    producer = Producer({"bootstrap.servers": stream.address, "log_level": 2})
    for number in range(first, stop):
        key, value = patient(number)
        stream.send_by(producer, value, key, number % partitions)
        producer.poll(0)
    assert producer.flush(60) == 0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_records_of_new_partitions_are_scored_from_the_first_on(
    broker: str, topics: Topics, workers: Workers, protocol: str
) -> None:
    """Two workers read two partitions, which become six: no record is skipped or scored twice."""
    with Stream.open(broker, topics, BEFORE) as stream:
        with workers.start(broker, **{PROTOCOL: protocol}) as one, workers.start(broker, **{PROTOCOL: protocol}) as two:
            one.await_ready()
            two.await_ready()
            send_evenly(stream, BEFORE, 0, RECORDS)
            admin = AdminClient({"bootstrap.servers": broker})
            admin.create_partitions([NewPartitions(topics.patients, AFTER)])[topics.patients].result(60)
            send_evenly(stream, AFTER, RECORDS, 2 * RECORDS)
            stream.read_all()
            stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
            one.check()
            two.check()
        stream.read_to_end()
    scored = Counter(source.partition for source in stream.results)
    assert scored == Counter(number % BEFORE for number in range(RECORDS)) + Counter(
        number % AFTER for number in range(RECORDS)
    )
    assert (stream.answered, stream.repeated()) == (2 * RECORDS, 0)
