"""What worker.kafka relies on in a Kafka consumer: the same laws for the simulated Kafka and a real one."""

from __future__ import annotations

from functools import partial

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from tests.integration.kafkas import Kafka, Reader, Writer, at, law, publish, reader_of, until


@law
def test_callbacks_are_called_only_in_poll(kafka: Kafka) -> None:
    """Assignment and commit callbacks are called from `poll` only, even while other calls wait for the broker."""
    first = reader_of(kafka, 2)
    second = Reader(kafka)

    def is_shared() -> bool:
        first.consumer.committed(at(kafka, 0), timeout=30)
        return len(first.owned()) == len(second.owned()) == 1

    until(kafka, is_shared, first, second)
    first.consumer.commit(offsets=at(kafka, 0, first.owned()[0]), asynchronous=True)
    first.consumer.committed(at(kafka, 0), timeout=30)
    assert first.commits == []
    until(kafka, lambda: first.commits, first, second)
    assert first.commits == [None]
    assert first.outside == second.outside == []


@law
def test_moving_partitions_are_revoked_not_lost(kafka: Kafka) -> None:
    """A partition that moves to another member is revoked, and the lost callback is not called."""
    first = reader_of(kafka, 2)
    second = Reader(kafka)
    until(kafka, lambda: len(first.owned()) == len(second.owned()) == 1, first, second)
    assert ("revoked", second.owned()) in first.calls
    assert "lost" not in {name for name, _ in first.calls + second.calls}


@law
def test_an_uncommitted_offset_is_invalid(kafka: Kafka) -> None:
    """A partition without a committed offset returns OFFSET_INVALID; the other returns offset and metadata."""
    reader = reader_of(kafka, 2)
    reader.consumer.commit(offsets=at(kafka, 7), asynchronous=False)
    found = reader.consumer.committed([TopicPartition(kafka.topic, each) for each in (0, 1)], timeout=30)
    assert [each.offset for each in found] == [7, OFFSET_INVALID]
    assert found[0].metadata == "note"


def assert_commit_is_refused(kafka: Kafka, reader: Reader, code: int) -> None:
    """Commit an offset; the error has this code, and nothing is stored."""
    with pytest.raises(KafkaException) as raised:
        reader.consumer.commit(offsets=at(kafka, 1), asynchronous=False)
    assert raised.value.args[0].code() == code
    (found,) = kafka.consumer().committed(at(kafka, 0), timeout=30)
    assert found.offset == OFFSET_INVALID


@law
def test_a_commit_of_a_dropped_member_is_refused(kafka: Kafka) -> None:
    """The commit of a member that was removed from the group raises UNKNOWN_MEMBER_ID."""
    reader = reader_of(kafka, 1)
    kafka.drop(reader.consumer)
    assert_commit_is_refused(kafka, reader, KafkaError.UNKNOWN_MEMBER_ID)


@law
def test_an_asynchronous_commit_of_a_dropped_member_is_refused_in_its_callback(kafka: Kafka) -> None:
    """The callback of a removed member's commit gets UNKNOWN_MEMBER_ID."""
    reader = reader_of(kafka, 1)
    kafka.drop(reader.consumer)
    reader.consumer.commit(offsets=at(kafka, 1), asynchronous=True)
    until(kafka, lambda: reader.commits, reader)
    assert reader.commits[0] is not None
    assert reader.commits[0].code() == KafkaError.UNKNOWN_MEMBER_ID


@law
def test_a_dropped_member_loses_its_partitions_and_joins_again(kafka: Kafka) -> None:
    """A removed member's partitions are lost, not revoked, and assigned again once it has rejoined."""
    reader = reader_of(kafka, 1)
    kafka.drop(reader.consumer)
    until(kafka, lambda: reader.calls[-1] == ("assigned", [0]) and len(reader.calls) > 1, reader)
    assert reader.calls == [("assigned", [0]), ("lost", [0]), ("assigned", [0])]


@law
def test_a_partition_is_read_in_order_up_to_its_end(kafka: Kafka) -> None:
    """A partition's records are returned in order and then its end; an empty partition's end is returned too."""
    reader = reader_of(kafka, 2)
    values = [b"%d" % number for number in range(40)]
    publish(kafka, 0, *values)
    until(kafka, lambda: (0, 40) in reader.ends, reader)
    assert reader.values == [(0, offset, value) for offset, value in enumerate(values)]
    assert (1, 0) in reader.ends


@law
def test_a_paused_partition_is_still_paused_after_it_was_lost(kafka: Kafka) -> None:
    """A paused partition that is lost and assigned again returns no records until it is resumed."""
    reader = reader_of(kafka, 2)
    reader.consumer.pause([TopicPartition(kafka.topic, 0)])
    kafka.drop(reader.consumer)
    until(kafka, lambda: reader.calls.count(("assigned", [0, 1])) == 2, reader)
    publish(kafka, 0, b"paused")
    publish(kafka, 1, b"read")
    until(kafka, lambda: reader.values, reader)
    until(kafka, lambda: (1, 1) in reader.ends, reader)
    assert reader.values == [(1, 0, b"read")]
    reader.consumer.resume([TopicPartition(kafka.topic, 0)])
    until(kafka, lambda: (0, 0, b"paused") in reader.values, reader)


@law
def test_a_commit_of_an_older_generation_is_refused(kafka: Kafka) -> None:
    """A commit with an outdated generation raises ILLEGAL_GENERATION, and the member then rejoins."""
    reader = reader_of(kafka, 1)
    kafka.outdate(reader.consumer)
    assert_commit_is_refused(kafka, reader, KafkaError.ILLEGAL_GENERATION)
    until(kafka, lambda: len(reader.calls) == 3, reader)
    assert reader.calls == [("assigned", [0]), ("lost", [0]), ("assigned", [0])]


@law
def test_a_partition_ends_at_its_first_open_transaction(kafka: Kafka) -> None:
    """With read_committed, the end is the last stable offset, though the cached watermark is the high watermark."""
    reader = reader_of(kafka, 1)
    marks = partial(reader.consumer.get_watermark_offsets, TopicPartition(kafka.topic, 0))
    publish(kafka, 0, b"first")
    until(kafka, lambda: (0, 1) in reader.ends, reader)
    writer = Writer.in_transactions(kafka)
    for end, first in ((writer.client.commit_transaction, 1), (writer.client.abort_transaction, 4)):
        writer.client.begin_transaction()
        writer.send(0, b"open")
        assert writer.client.flush(30) == 0
        publish(kafka, 0, b"behind")
        until(kafka, lambda high=first + 2: marks(cached=True) == (0, high), reader)
        assert marks(timeout=30) == (0, first)
        assert reader.ends[-1] == (0, first)
        end(30)
        until(kafka, lambda last=first + 3: reader.ends[-1] == (0, last), reader)
        assert marks(timeout=30) == (0, first + 3)
    assert reader.values == [(0, 0, b"first"), (0, 1, b"open"), (0, 2, b"behind"), (0, 5, b"behind")]


@law
def test_the_end_of_a_partition_is_reported_again_after_resuming(kafka: Kafka) -> None:
    """A partition that is paused and resumed at its end reports its end a second time."""
    reader = reader_of(kafka, 1)
    until(kafka, lambda: reader.ends == [(0, 0)], reader)
    place = [TopicPartition(kafka.topic, 0)]
    reader.consumer.pause(place)
    reader.consumer.resume(place)
    until(kafka, lambda: reader.ends == [(0, 0), (0, 0)], reader)
