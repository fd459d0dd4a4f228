"""The simulated Kafka and a real one behind one interface, for the laws that both must keep."""

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

from tests.simulation.clients import FakeAdminClient
from tests.simulation.cluster import Cluster
from tests.simulation.consumer import FakeConsumer
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
}
_LEAVE_GROUP: Final = 13


class Kafka(Protocol):
    """A broker and its clients. All of one test use one topic and one group."""

    topic: str
    group: str

    def run(self, law: Callable[[], None]) -> None:
        """Run a test."""

    def now(self) -> float:
        """Return the time in seconds."""

    def create(self, partitions: int) -> None:
        """Make the topic."""

    def consumer(self, **config: Any) -> Any:
        """Return a consumer of the group."""

    def producer(self, **config: Any) -> Any:
        """Return a producer."""

    def admin(self) -> Any:
        """Return an admin client."""

    def drop(self, consumer: Any) -> None:
        """Remove a member from the group at the coordinator, as the end of its session does."""


class RealKafka:
    """A broker that runs."""

    def __init__(self, address: str) -> None:
        self._address = {"bootstrap.servers": address}
        self.topic, self.group = f"laws-{uuid.uuid4().hex[:8]}", f"group-{uuid.uuid4().hex[:8]}"
        self._consumers: list[Consumer] = []

    def run(self, law: Callable[[], None]) -> None:
        law()

    def now(self) -> float:
        return time.monotonic()

    def create(self, partitions: int) -> None:
        admin = self.admin()  # it must outlive its answer
        admin.create_topics([NewTopic(self.topic, partitions, 1)])[self.topic].result(30)

    def consumer(self, **config: Any) -> Consumer:
        consumer = Consumer({**self._address, **_CONSUMER, "group.id": self.group, **config})
        self._consumers.append(consumer)
        return consumer

    def producer(self, **config: Any) -> Producer:
        return Producer({**self._address, "enable.idempotence": True, "linger.ms": 200, **config})

    def admin(self) -> AdminClient:
        return AdminClient(self._address)

    def drop(self, consumer: Consumer) -> None:
        host, _, port = self._address["bootstrap.servers"].partition(",")[0].rpartition(":")
        text = b"".join(
            struct.pack(">h", len(each)) + each for each in (self.group.encode(), consumer.memberid().encode())
        )
        request = struct.pack(">hhih", _LEAVE_GROUP, 0, 1, -1) + text
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.makefile("rb").read(10)
        assert struct.unpack(">iih", answer)[2] == 0

    def close(self) -> None:
        """Close all consumers: one that is collected while it is a member may wait for ever."""
        for consumer in self._consumers:
            consumer.close()


class SimulatedKafka:
    """The simulation's broker; a test is a thread on its virtual time."""

    topic, group = "laws", "group"

    def __init__(self) -> None:
        self._scheduler = World.scheduler = Scheduler(random.Random(0))  # noqa: S311  # a schedule, no secret
        self._cluster = World.cluster = Cluster(self._scheduler)

    def run(self, law: Callable[[], None]) -> None:
        thread = self._scheduler.spawn(Process(self._scheduler, "law"), law)
        while not thread.is_done:
            assert self._scheduler.step()

    def now(self) -> float:
        return self._scheduler.now

    def create(self, partitions: int) -> None:
        self._cluster.topics.create(self.topic, partitions)

    def consumer(self, **config: Any) -> FakeConsumer:
        return FakeConsumer({**_CONSUMER, **config})

    def producer(self, **config: Any) -> FakeProducer:
        return FakeProducer({"error_cb": lambda _error: None, **config})

    def admin(self) -> FakeAdminClient:
        return FakeAdminClient({})

    def drop(self, consumer: FakeConsumer) -> None:
        self._cluster.group.leave(consumer.consumer_group_metadata()[0])


class Reader:
    """A member of the group that writes down its callbacks, and whether they came inside `poll`."""

    def __init__(self, kafka: Kafka, **config: Any) -> None:
        self.consumer = kafka.consumer(on_commit=self._committed, **config)
        self.calls: list[tuple[str, list[int]]] = []
        self.commits: list[KafkaError | None] = []
        self.outside: list[str] = []
        self.values: list[tuple[int, int, bytes]] = []
        self.ends: list[tuple[int, int]] = []
        self._is_polling = False
        self.consumer.subscribe([kafka.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _note(self, name: str, positions: Sequence[TopicPartition]) -> None:
        self.calls.append((name, sorted(each.partition for each in positions)))
        self._see_poll(name)

    def _see_poll(self, name: str) -> None:
        if not self._is_polling:
            self.outside.append(name)

    def _assigned(self, consumer: Any, positions: list[TopicPartition]) -> None:
        self._note("assigned", positions)
        if positions:
            found = consumer.committed(positions, timeout=30)
            consumer.incremental_assign(
                [TopicPartition(each.topic, each.partition, max(each.offset, 0)) for each in found]
            )

    def _revoked(self, _consumer: Any, positions: list[TopicPartition]) -> None:
        self._note("revoked", positions)

    def _lost(self, _consumer: Any, positions: list[TopicPartition]) -> None:
        self._note("lost", positions)

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
    """Poll clients until something holds."""
    deadline = kafka.now() + _SECONDS
    while not condition():
        assert kafka.now() < deadline, [vars(each) for each in clients if isinstance(each, Reader)]
        for each in clients:
            each.poll() if isinstance(each, Reader) else each.poll(0.1)


def law(function: Callable[[Kafka], None]) -> Callable[[Kafka], None]:
    """Run a test where the clients of its Kafka can run."""

    @functools.wraps(function)
    def run(kafka: Kafka) -> None:
        kafka.run(lambda: function(kafka))

    return run
