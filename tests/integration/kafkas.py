"""The simulated Kafka and a real one with one interface, for the laws that both must obey."""

from __future__ import annotations

import functools
import random
import socket
import struct
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from runtime.ports import free_port
from tests.simulation.clients import FakeAdminClient
from tests.simulation.cluster import Cluster
from tests.simulation.consumer import FakeConsumer
from tests.simulation.network import OUTPUT
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.threads import World
from tests.simulation.transactional import FakeProducer

_SECONDS: Final = 40.0
_CONSUMER: Final = {
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 1_000,
    "fetch.wait.max.ms": 100,
}
_JOIN_GROUP: Final = 11
_LEAVE_GROUP: Final = 13


class Kafka(Protocol):
    """A broker and its clients. Within a test, all clients use one topic and one group."""

    topic: str
    group: str

    def run(self, law: Callable[[], None]) -> None:
        """Run a test."""

    def now(self) -> float:
        """Return the time in seconds."""

    def create(self, partitions: int, most_bytes: int = 1_000_000) -> None:
        """Create the topic; it accepts batches of at most `most_bytes` bytes."""

    def consumer(self, **config: Any) -> Any:
        """Return a consumer of the group."""

    def producer(self, **config: Any) -> Any:
        """Return a producer."""

    def cut_off_producer(self, **config: Any) -> Any:
        """Return a producer that cannot reach a broker."""

    def admin(self) -> Any:
        """Return an admin client."""

    def drop(self, consumer: Any) -> None:
        """Remove a member from the group at the coordinator, as the expiry of its session does."""

    def outdate(self, consumer: Any) -> None:
        """Start a new generation of the group without the knowledge of its only member."""


class RealKafka:
    """A running broker."""

    def __init__(self, address: str) -> None:
        self._address = {"bootstrap.servers": address}
        self.topic, self.group = f"laws-{uuid.uuid4().hex[:8]}", f"group-{uuid.uuid4().hex[:8]}"
        self._consumers: list[Consumer] = []

    def run(self, law: Callable[[], None]) -> None:
        law()

    def now(self) -> float:
        return time.monotonic()

    def create(self, partitions: int, most_bytes: int = 1_000_000) -> None:
        admin = self.admin()  # it must outlive its futures
        topic = NewTopic(self.topic, partitions, 1, config={"max.message.bytes": str(most_bytes)})
        admin.create_topics([topic])[self.topic].result(30)

    def consumer(self, **config: Any) -> Consumer:
        consumer = Consumer({**self._address, **_CONSUMER, "group.id": self.group, **config})
        self._consumers.append(consumer)
        return consumer

    def producer(self, **config: Any) -> Producer:
        return Producer({**self._address, "enable.idempotence": True, "linger.ms": 200, "log_level": 0, **config})

    def cut_off_producer(self, **config: Any) -> Producer:
        return self.producer(**{"bootstrap.servers": f"localhost:{free_port()}", "linger.ms": 0, **config})

    def admin(self) -> AdminClient:
        return AdminClient(self._address)

    def drop(self, consumer: Consumer) -> None:
        body = _text(self.group) + _text(consumer.memberid())
        assert struct.unpack(">h", self._ask(_LEAVE_GROUP, 0, body)[:2])[0] == 0

    def outdate(self, consumer: Consumer) -> None:
        subscription = struct.pack(">hi", 0, 1) + _text(self.topic) + struct.pack(">i", 0)
        protocols = struct.pack(">i", 1) + _text("cooperative-sticky") + struct.pack(">i", len(subscription))
        body = _text(self.group) + struct.pack(">ii", 10_000, 10_000) + _text(consumer.memberid())
        response = self._ask(_JOIN_GROUP, 2, body + _text("consumer") + protocols + subscription)
        assert struct.unpack(">ih", response[:6])[1] == 0

    def _ask(self, kind: int, version: int, body: bytes) -> bytes:
        """Send a request of the Kafka protocol; return the body of the response."""
        host, _, port = self._address["bootstrap.servers"].partition(",")[0].rpartition(":")
        request = struct.pack(">hhih", kind, version, 1, -1) + body
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            stream = connection.makefile("rb")
            size, _ = struct.unpack(">ii", stream.read(8))
            return stream.read(size - 4)

    def close(self) -> None:
        """Close all consumers: destroying a group member without closing it may block forever."""
        for consumer in self._consumers:
            consumer.close()


class SimulatedKafka:
    """The broker of the simulation; a test is a thread in its virtual time."""

    topic, group = "laws", "group"

    def __init__(self) -> None:
        self._scheduler = World.scheduler = Scheduler(random.Random(0))  # noqa: S311  # a schedule, not a secret
        self._cluster = World.cluster = Cluster(self._scheduler)

    def run(self, law: Callable[[], None]) -> None:
        thread = self._scheduler.spawn(Process(self._scheduler, "law"), law)
        while not thread.is_done:
            assert self._scheduler.step()

    def now(self) -> float:
        return self._scheduler.now

    def create(self, partitions: int, most_bytes: int = 1_000_000) -> None:
        self._cluster.topics.create(self.topic, partitions, most_bytes)

    def consumer(self, **config: Any) -> FakeConsumer:
        return FakeConsumer({**_CONSUMER, **config})

    def producer(self, **config: Any) -> FakeProducer:
        return FakeProducer(config)

    def cut_off_producer(self, **config: Any) -> FakeProducer:
        self._cluster.network.down[self._scheduler.process().name, OUTPUT] = float("inf")
        return self.producer(**config)

    def admin(self) -> FakeAdminClient:
        return FakeAdminClient({})

    def drop(self, consumer: FakeConsumer) -> None:
        self._cluster.group.leave(consumer.consumer_group_metadata()[0])

    def outdate(self, consumer: FakeConsumer) -> None:
        member = consumer.consumer_group_metadata()[0]
        self._cluster.group.join(member, self.topic, frozenset(), lambda _answer: None, is_new=False)


class Writer:
    """A producer that records its delivery reports: partition, value, and the error's code or None."""

    def __init__(self, client: Callable[..., Any], topic: str, **config: Any) -> None:
        self._topic = topic
        self.reports: list[tuple[int | None, bytes | None, int | None]] = []
        self.client = client(on_delivery=self._reported, **config)

    @classmethod
    def in_transactions(cls, kafka: Kafka, **config: Any) -> Writer:
        """Return an initialized one with a transactional id, which all of one test share."""
        writer = cls(kafka.producer, kafka.topic, **{"transactional.id": kafka.topic, **config})
        writer.client.init_transactions(30)
        return writer

    def _reported(self, error: KafkaError | None, message: Any) -> None:
        self.reports.append((message.partition(), message.value(), None if error is None else error.code()))

    def send(self, partition: int, *values: bytes) -> None:
        for value in values:
            self.client.produce(self._topic, value, partition=partition)


def publish(kafka: Kafka, partition: int, *values: bytes) -> None:
    """Produce records and wait for their delivery."""
    writer = Writer(kafka.producer, kafka.topic)
    writer.send(partition, *values)
    assert writer.client.flush(30) == 0


def reader_of(kafka: Kafka, partitions: int, most_bytes: int = 1_000_000) -> Reader:
    """Return the only member of the group, with all partitions of a new topic assigned."""
    kafka.create(partitions, most_bytes)
    reader = Reader(kafka)
    until(kafka, lambda: reader.owned() == list(range(partitions)), reader)
    return reader


def at(kafka: Kafka, offset: int, partition: int = 0) -> list[TopicPartition]:
    """Return an offset to commit."""
    return [TopicPartition(kafka.topic, partition, offset, metadata="note")]


def _text(text: str) -> bytes:
    """Return a string as the Kafka protocol encodes it."""
    return struct.pack(">h", len(text.encode())) + text.encode()


class Reader:
    """A group member that records its callbacks, and those that were called outside `poll`."""

    def __init__(self, kafka: Kafka, **config: Any) -> None:
        self.consumer = kafka.consumer(on_commit=self._committed, **config)
        self.calls: list[tuple[str, list[int]]] = []
        self.commits: list[KafkaError | None] = []
        self.outside: list[str] = []
        self.values: list[tuple[int, int, bytes]] = []
        self.ends: list[tuple[int, int]] = []
        self._is_polling = False
        self.consumer.subscribe([kafka.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _record(self, name: str, positions: Sequence[TopicPartition]) -> None:
        self.calls.append((name, sorted(each.partition for each in positions)))
        self._see_poll(name)

    def _see_poll(self, name: str) -> None:
        if not self._is_polling:
            self.outside.append(name)

    def _assigned(self, consumer: Any, positions: list[TopicPartition]) -> None:
        self._record("assigned", positions)
        if positions:
            found = consumer.committed(positions, timeout=30)
            consumer.incremental_assign(
                [TopicPartition(each.topic, each.partition, max(each.offset, 0)) for each in found]
            )

    def _revoked(self, _consumer: Any, positions: list[TopicPartition]) -> None:
        self._record("revoked", positions)

    def _lost(self, _consumer: Any, positions: list[TopicPartition]) -> None:
        self._record("lost", positions)

    def _committed(self, error: KafkaError | None, _positions: object) -> None:
        self._see_poll("committed")
        self.commits.append(error)

    def poll(self) -> None:
        self._is_polling = True
        message = self.consumer.poll(0.1)
        self._is_polling = False
        if message is None:
            return
        if message.error() is None:
            self.values.append((message.partition(), message.offset(), message.value()))
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            self.ends.append((message.partition(), message.offset()))

    def owned(self) -> list[int]:
        return sorted(each.partition for each in self.consumer.assignment())


def until(kafka: Kafka, condition: Callable[[], object], *clients: Any) -> None:
    """Poll clients until a condition holds."""
    deadline = kafka.now() + _SECONDS
    while not condition():
        assert kafka.now() < deadline, [vars(each) for each in clients if isinstance(each, Reader)]
        for each in clients:
            each.poll() if isinstance(each, Reader) else each.poll(0.1)


def law(function: Callable[[Kafka], None]) -> Callable[[Kafka], None]:
    """Run a test where the clients of its Kafka run: for the simulated one, in a thread of its scheduler."""

    @functools.wraps(function)
    def run(kafka: Kafka) -> None:
        kafka.run(lambda: function(kafka))

    return run
