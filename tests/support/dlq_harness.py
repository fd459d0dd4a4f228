"""A harness for tests of dead letters: writes records and dead letters, runs the command, reads topics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from heartstream.operations.dlq.dead_letters import DeadLetterRecord
from runtime.settings import Topics
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import Source
from tests.support.stream import DEADLINE_SECONDS
from worker.dead_letters import dead_letter
from worker.kafka.outgoing_record import OutgoingRecord

Headers = Sequence[tuple[str, bytes | None]]
HEADERS: Headers = (("trace", b"1"), ("trace", b"2"), ("empty", b""), ("null", None))
"""Headers that nothing may change: repeated, empty and without a value."""
DAY = 86_400_000
"""In milliseconds."""


class Written(msgspec.Struct, frozen=True):
    """The contents of a record, as a consumer reads it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int


def groups_of(address: str, topic: str) -> set[str]:
    """Return the consumer groups that have committed an offset of this topic's first partition."""
    # The client must outlive its futures: those of a destroyed client are never resolved.
    admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
    names = [group.group_id for group in admin.list_consumer_groups().result(60).valid]
    # The client accepts only one group per request.
    found = [
        admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name, [TopicPartition(topic, 0)])])[name]
        for name in names
    ]
    positions = [answer.result(60).topic_partitions[0] for answer in found]
    return {name for name, position in zip(names, positions, strict=True) if position.offset >= 0}


class DlqHarness:
    """The dead letters of one test's topics."""

    def __init__(self, address: str, topics: Topics, settings: dict[str, str]) -> None:
        self.address = address
        self.topics = topics
        self.environment = {**os.environ, **settings, "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": address}
        self.producer = Producer(
            {
                "bootstrap.servers": address,
                "partitioner": "murmur2_random",
                "message.max.bytes": 20_000_000,
                "log_level": 2,
            }
        )

    def send(self, record: OutgoingRecord) -> Source:
        """Produce one record and return its position."""
        places: list[Source] = []

        def confirmed(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            places.append(Source(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)))

        options = {} if record.timestamp is None else {"timestamp": record.timestamp}
        self.producer.produce(
            record.topic, record.value, record.key, headers=list(record.headers), on_delivery=confirmed, **options
        )
        assert self.producer.flush(DEADLINE_SECONDS) == 0
        return places[0]

    def record(
        self, key: bytes | None, value: bytes | None, headers: Headers = (), timestamp: int | None = None
    ) -> Source:
        """Produce a record to the patients topic."""
        return self.send(OutgoingRecord(self.topics.patients, key, value, headers, timestamp or now()))

    def letter_of(self, source: Source, code: RejectionCode = RejectionCode.MODEL_FAILURE) -> OutgoingRecord:
        """Return the dead letter that a worker writes for the record at `source`."""
        (written,) = [one for place, one in self.read(source.topic) if place == source]
        message = Message(
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            key=written.key,
            value=written.value,
            headers=list(written.headers),
            timestamp=(TIMESTAMP_CREATE_TIME, written.timestamp),
        )
        return dead_letter(self.topics.dead_letters, message, source, (ValidationIssue(code, "/age", "must be right"),))

    def letters(self, codes: Iterable[RejectionCode], **options: int) -> None:
        """Produce one dead letter per code, without their originals; the keys are k-0, k-1, and so on."""
        for number, code in enumerate(codes):
            message = Message(
                topic=self.topics.patients,
                partition=0,
                offset=number,
                key=f"k-{number}".encode(),
                value=f"v-{number}".encode(),
                timestamp=(TIMESTAMP_CREATE_TIME, now()),
            )
            source = Source(self.topics.patients, 0, number)
            letter = dead_letter(
                self.topics.dead_letters, message, source, (ValidationIssue(code, "/age", "must be right"),)
            )
            self.producer.produce(letter.topic, letter.value, letter.key, headers=list(letter.headers), **options)
            self.producer.poll(0)
        assert self.producer.flush(DEADLINE_SECONDS) == 0

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "heartstream", "dlq", *arguments]

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command with nothing on standard input."""
        return subprocess.run(
            self.command(*arguments),
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def read(self, topic: str) -> list[tuple[Source, Written]]:
        """Return all committed records of a topic, each partition in order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "harness",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "log_level": 2,
            }
        )
        try:
            left = set(consumer.list_topics(topic, timeout=60).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, number, 0) for number in left])
            found = []
            deadline = time.monotonic() + DEADLINE_SECONDS
            while left:
                assert time.monotonic() < deadline
                for message in consumer.consume(500, 0.1):
                    if message.error() is not None:
                        assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                        left.discard(message.partition())
                        continue
                    place = Source(topic, int(message.partition() or 0), int(message.offset() or 0))
                    written = Written(
                        message.key(), message.value(), tuple(message.headers() or ()), message.timestamp()[1]
                    )
                    found.append((place, written))
        finally:
            consumer.close()
        return sorted(found, key=lambda pair: (pair[0].partition, pair[0].offset))

    def patients(self) -> list[Written]:
        """Return all records of the patients topic."""
        return [written for _, written in self.read(self.topics.patients)]

    def dead(self) -> list[DeadLetterRecord]:
        """Return all records of the dead letter topic."""
        return [
            DeadLetterRecord.of(
                Message(
                    topic=place.topic,
                    partition=place.partition,
                    offset=place.offset,
                    key=one.key,
                    value=one.value,
                    headers=list(one.headers),
                    timestamp=(TIMESTAMP_CREATE_TIME, one.timestamp),
                )
            )
            for place, one in self.read(self.topics.dead_letters)
        ]

    def keys_sent_back(self) -> list[str]:
        """Return the keys on the patients topic, sorted."""
        return sorted((written.key or b"").decode() for written in self.patients())


def now() -> int:
    """Return the current time in milliseconds since 1970."""
    return int(time.time() * 1000)


def columns(stdout: str) -> list[list[str]]:
    """Return the cells of a machine-readable table, without its header."""
    return [line.split("\t") for line in stdout.splitlines()[1:]]


def await_letters(harness: DlqHarness, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(found := harness.dead()) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} letters"
        time.sleep(0.2)


def drift_report(harness: DlqHarness, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "heartstream", "drift", "--json", *arguments],
        env=harness.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
