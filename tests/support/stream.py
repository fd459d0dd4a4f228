"""A producer and a consumer that check that every record has one outcome."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

import msgspec
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from runtime.kafka.topics import LARGEST_RECORD_BYTES, create_topics
from runtime.settings import Topics
from schemas.codec import decode_dead_letter, decode_score
from schemas.records import DeadLetter, Source
from schemas.topics import DEAD_LETTER_HEADER

PARTITIONS = 4
DEADLINE_SECONDS = 90.0


class Sent(msgspec.Struct, frozen=True):
    """A record that the broker has acknowledged."""

    source: Source
    key: bytes | None
    value: bytes | None


class Result(msgspec.Struct, frozen=True):
    """A record read from the scores or dead letter topic."""

    source: Source
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    letter: DeadLetter | None
    partition: int
    offset: int


class Stream:
    """One test's view of its topics."""

    def __init__(self, address: str, topics: Topics, consumer: Consumer) -> None:
        self.address = address
        self.topics = topics
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "message.max.bytes": LARGEST_RECORD_BYTES,
                "log_level": 2,
            }
        )
        self._consumer = consumer
        self.sent: list[Sent] = []
        self.results: dict[Source, list[Result]] = defaultdict(list)
        self.read: list[Result] = []
        """All results, in the order of each output partition."""

    @classmethod
    @contextmanager
    def open(cls, address: str, topics: Topics, partitions: int = PARTITIONS) -> Iterator[Self]:
        """Create the topics and read results from their beginning."""
        names = (topics.patients, topics.scores, topics.dead_letters)
        create_topics(address, names, partitions, {})
        consumer = Consumer({"bootstrap.servers": address, "group.id": "accounting", "log_level": 2})
        ends = [TopicPartition(name, number, 0) for name in names[1:] for number in range(partitions)]
        consumer.assign(ends)
        try:
            yield cls(address, topics, consumer)
        finally:
            consumer.close()

    def send(self, value: bytes | None, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Produce one record; it is in `sent` once the broker has acknowledged it."""
        confirmed = self._confirmed(value, key)
        self._producer.produce(self.topics.patients, value, key, headers=list(headers), on_delivery=confirmed)
        self._producer.poll(0)

    def send_by(self, producer: Producer, value: bytes | None, key: bytes | None, partition: int) -> None:
        """Produce one record with a producer of the test's own, which must poll."""
        producer.produce(self.topics.patients, value, key, partition=partition, on_delivery=self._confirmed(value, key))

    def _confirmed(self, value: bytes | None, key: bytes | None) -> Callable[[KafkaError | None, Message], None]:
        def confirmed(error: KafkaError | None, message: Message) -> None:
            assert error is None
            source = Source(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            self.sent.append(Sent(source, key, value))

        return confirmed

    def flush(self) -> None:
        """Wait until the broker has acknowledged every record."""
        assert self._producer.flush(DEADLINE_SECONDS) == 0

    def read_until(self, condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Read results until the condition holds; fail the test on a timeout."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.answered} of {len(self.sent)} records have an outcome"
            for message in self._consumer.consume(2000, 0.1):
                assert message.error() is None, message.error()
                self._note(message)

    def read_all(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Read until every sent record has an outcome, and then to the end of the topics."""
        self.flush()
        self.read_until(lambda: self.answered >= len(self.sent), seconds)
        self.read_to_end()

    def read_to_end(self) -> None:
        """Read all results up to the present ends of the topics."""
        self.read_until(self._at_end)

    @property
    def answered(self) -> int:
        """The number of records with at least one outcome."""
        return len(self.results)

    def repeated(self) -> int:
        """The number of results beyond the first of each record."""
        return sum(len(results) - 1 for results in self.results.values())

    def only(self, sent: Sent) -> Result:
        """Return the only outcome of a record."""
        (result,) = self.results[sent.source]
        return result

    def await_commits(self, group: str) -> None:
        """Wait until the group's committed offsets are the ends of all partitions with records."""
        self.await_offsets(
            group,
            {
                partition: max(sent.source.offset for sent in self.sent if sent.source.partition == partition) + 1
                for partition in {sent.source.partition for sent in self.sent}
            },
        )

    def await_offsets(self, group: str, ends: Mapping[int, int]) -> None:
        """Wait until the group has committed these offsets."""
        wanted = [TopicPartition(self.topics.patients, partition) for partition in ends]
        probe = Consumer({"bootstrap.servers": self.address, "group.id": group, "log_level": 2})
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while (committed := {p.partition: p.offset for p in probe.committed(wanted, timeout=60)}) != ends:
                assert time.monotonic() < deadline, f"committed {committed}, ends {ends}"
                time.sleep(0.1)
        finally:
            probe.close()

    def committed(self, group: str) -> list[TopicPartition]:
        """Return the group's offsets of the patients topic, as stored by the broker."""
        admin = AdminClient({"bootstrap.servers": self.address})
        (asked,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
        return list(asked.result(60).topic_partitions)

    def commit(self, group: str, positions: list[TopicPartition]) -> None:
        """Store offsets for a group without members."""
        admin = AdminClient({"bootstrap.servers": self.address})
        changed = [ConsumerGroupTopicPartitions(group, positions)]
        (future,) = admin.alter_consumer_group_offsets(changed).values()
        assert [each.error for each in future.result(60).topic_partitions if each.error] == []

    def await_members(self, group: str, count: int) -> None:
        """Wait until the group has this many members."""
        admin = AdminClient({"bootstrap.servers": self.address})
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (members := _members(admin, group)) != count:
            assert time.monotonic() < deadline, f"{members} members, not {count}"
            time.sleep(0.1)

    def end_of(self, partition: int) -> int:
        """Return the end offset of a partition of the patients topic."""
        return int(self._consumer.get_watermark_offsets(TopicPartition(self.topics.patients, partition), timeout=60)[1])

    def delete_before(self, offsets: dict[int, int]) -> None:
        """Delete records of the patients topic before these offsets, by partition, as retention would."""
        positions = [TopicPartition(self.topics.patients, partition, offset) for partition, offset in offsets.items()]
        admin = AdminClient({"bootstrap.servers": self.address})
        for future in admin.delete_records(positions).values():
            future.result(60)

    def limit_dead_letters(self, size: int) -> None:
        """Limit record batches of the dead letter topic to `size` bytes."""
        self.configure(self.topics.dead_letters, "max.message.bytes", str(size))

    def configure(self, topic: str, name: str, value: str) -> None:
        """Change a setting of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": self.address})
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(60)

    def _at_end(self) -> bool:
        for position in self._consumer.position(self._consumer.assignment()):
            _, high = self._consumer.get_watermark_offsets(
                TopicPartition(position.topic, position.partition), timeout=10
            )
            if max(position.offset, 0) < high:
                return False
        return True

    def _note(self, message: Message) -> None:
        headers = list(message.headers() or [])
        value = message.value()
        letter = None
        if message.topic() == self.topics.scores:
            source = decode_score(value or b"").source
        else:
            letter = decode_dead_letter(dict(headers)[DEAD_LETTER_HEADER])
            source = letter.source
        assert source is not None
        partition, offset = int(message.partition() or 0), int(message.offset() or 0)
        result = Result(source, message.key(), value, headers, letter, partition, offset)
        self.results[source].append(result)
        self.read.append(result)


def _members(admin: AdminClient, group: str) -> int | None:
    """Count a group's members; None while the broker, as after a start, has no coordinator for it."""
    try:
        return len(admin.describe_consumer_groups([group])[group].result(60).members)
    except KafkaException as failure:
        if failure.args[0].code() in {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE}:
            return None
        raise
