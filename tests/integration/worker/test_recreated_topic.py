"""A topic that is deleted and recreated with the same name, on a real broker."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from runtime.kafka.topics import create_topics
from tests.support.stream import PARTITIONS, Stream
from tests.support.waiting import await_condition
from tests.support.workers import GUARANTEE, PROTOCOL, Workers, patient


def recreate(stream: Stream) -> None:
    """Delete the patients topic and recreate it at once."""
    topic = stream.topics.patients
    admin = AdminClient({"bootstrap.servers": stream.address})
    admin.delete_topics([topic])[topic].result(60)

    def is_made() -> bool:
        try:
            create_topics(stream.address, [topic], PARTITIONS, {})
        except KafkaException:
            return False
        return True

    await_condition(is_made, 60)


def send_keyed(stream: Stream, first: int, stop: int) -> set[bytes]:
    """Send patients, each with its own key; return the keys."""
    keys = set()
    for number in range(first, stop):
        key, value = patient(number)
        stream.send(value, key)
        keys.add(key)
    stream.flush()
    return keys


def keys_of_scores(stream: Stream) -> set[bytes | None]:
    return {result.key for result in stream.read}


@pytest.mark.parametrize(
    ("guarantee", "protocol"),
    [("at_least_once", "classic"), ("at_least_once", "consumer"), ("exactly_once", "classic")],
)
def test_a_worker_stops_and_its_successor_begins_at_the_new_topic(
    group_stream: Stream, workers: Workers, guarantee: str, protocol: str
) -> None:
    """The client would continue at the old offset: the worker detects this and stops, and no record is skipped.

    Under exactly-once none is repeated, as nothing of the new topic was committed under the old one.
    """
    stream, settings = group_stream, {GUARANTEE: guarantee, PROTOCOL: protocol}
    old = send_keyed(stream, 0, 100)
    with workers.start(stream.address, **settings) as worker:
        stream.read_until(lambda: keys_of_scores(stream) == old)
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        recreate(stream)
        new = send_keyed(stream, 100, 600)
        for first in range(600, 20_000, 100):
            if worker.process.poll() is not None:
                break
            new |= send_keyed(stream, first, first + 100)
        code = worker.process.wait(60)
    with workers.start(stream.address, **settings) as second:
        stream.read_until(lambda: keys_of_scores(stream) == old | new)
        stream.read_to_end()
        second.check()
    if guarantee == "exactly_once":
        assert len(stream.read) == len(old | new), "results came twice"
    assert (code, "was deleted and recreated while it was read" in workers.logs()) == (1, True)


def test_offsets_of_the_deleted_topic_are_ignored(group_stream: Stream, workers: Workers) -> None:
    """A member commits for a deleted topic as it leaves, and the broker keeps the offset for the new one."""
    stream, group = group_stream, workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    old = send_keyed(stream, 0, 100)
    with workers.start(stream.address):
        stream.read_until(lambda: keys_of_scores(stream) == old)
        stream.await_commits(group)
    left = stream.committed(group)
    recreate(stream)
    new = send_keyed(stream, 100, 600)
    stream.commit(group, left)
    with workers.start(stream.address) as second:
        stream.read_until(lambda: keys_of_scores(stream) == old | new)
        second.check()
    assert '"event": "topic recreated"' in workers.logs()
