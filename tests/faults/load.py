"""The load generator: numbered records of real patients, some invalid, each recorded once it is acknowledged."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from heartstream.demo.patients import Record, independent_flaws, real_patients
from schemas.records import Source
from schemas.tables.builtin import UCI_HEART
from tests.faults.account import Sent

KEYS: Final = 997
_TICK_SECONDS: Final = 0.02
_DEADLINE_SECONDS: Final = 180.0
_CALL_SECONDS: Final = 30.0


class Recipe(msgspec.Struct, frozen=True):
    """The records to produce: their rate per second, the share of invalid ones, the share and size of large ones."""

    rate: int = 1_000
    bad_share: float = 0.02
    large_share: float = 0.0
    large_bytes: int = 0


class Load:
    """Produces in a thread of its own, idempotent and with acks=all, while faults happen.

    There are 997 keys, so that many records share one; a record's patient id has its number. All keys begin with
    `prefix`. `deleted_at`, if the topic was deleted, has the committed offsets of that time: later records may have no
    result.
    """

    def __init__(
        self,
        address: str,
        topic: str,
        recipe: Recipe,
        seed: int,
        culprit: Record | None = None,
        prefix: str = "key-",
    ) -> None:
        self.sent: list[Sent] = []
        self.rate = recipe.rate
        self.prefix = prefix
        self.deleted_at: Mapping[int, int] | None = None
        self._topic = topic
        self._recipe = recipe
        self._address = address
        self._seed = seed
        self._records = _records(recipe, seed, culprit, prefix)
        self._failure: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._flow, name="load", daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                # A topic may get more partitions.
                "topic.metadata.refresh.interval.ms": 1_000,
                "message.max.bytes": 20_000_000,
                "log_level": 0,
            }
        )

    def successor(self, prefix: str) -> Load:
        """Return a load with other records and keys, for a topic that replaces this one's."""
        return Load(self._address, self._topic, self._recipe, self._seed + 1, prefix=prefix)

    def due(self, answered: Container[Source]) -> list[Sent]:
        """Return the records that must have a result: of a deleted topic, those that were committed or answered."""
        gone = self.deleted_at
        if gone is None:
            return self.sent
        return [s for s in self.sent if s.source in answered or s.source.offset < gone.get(s.source.partition, 0)]

    def start(self) -> None:
        """Start producing at the recipe's rate."""
        self._thread.start()

    def stop(self) -> None:
        """Stop producing and wait until all records are acknowledged; raises RuntimeError if one is not."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        left = self._producer.flush(_DEADLINE_SECONDS)
        if left or self._failure:
            raise RuntimeError(f"the producer itself failed: {left} records unconfirmed, {self._failure}")

    def put(self, count: int) -> None:
        """Produce `count` records now, as fast as possible."""
        for _ in range(count):
            self._send(*next(self._records))
        self._producer.flush(_DEADLINE_SECONDS)

    def put_aborted(self, count: int) -> None:
        """Produce records in a transaction and abort it: they must not be scored."""
        writer = Producer(
            {
                "bootstrap.servers": self._address,
                "transactional.id": f"aborted-{self._topic}",
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )
        writer.init_transactions(_CALL_SECONDS)
        writer.begin_transaction()
        for _ in range(count):
            key, value = next(self._records)
            writer.produce(self._topic, value, key)
        writer.flush(_CALL_SECONDS)
        writer.abort_transaction(_CALL_SECONDS)

    def _flow(self) -> None:
        started, count = time.monotonic(), 0
        while not self._stopping.wait(_TICK_SECONDS):
            due = int((time.monotonic() - started) * self._recipe.rate)
            for _ in range(count, due):
                self._send(*next(self._records))
            count = due

    def _send(self, key: bytes, value: bytes | None) -> None:
        confirm = self._confirming(key, value, self.sent)
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=confirm)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _confirming(
        self, key: bytes, value: bytes | None, sent: list[Sent]
    ) -> Callable[[KafkaError | None, Message], None]:
        """Return a callback that adds an acknowledged record to `sent`."""

        def confirmed(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failure = error.name()
                return
            source = Source(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
            sent.append(Sent(source, key, value))

        return confirmed


def _records(recipe: Recipe, seed: int, culprit: Record | None, prefix: str) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield keys and values endlessly. A `culprit` replaces one record in a thousand."""
    rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
    patients, flaws, number = real_patients(), list(independent_flaws(UCI_HEART).values()), 0
    while True:
        patient = culprit if culprit is not None and number % 1_000 == 500 else patients[number % len(patients)]
        record = {**patient, "patient_id": f"p-{number:07}"}
        value: bytes | None = json.dumps(record).encode()
        lot = rng.random()
        if lot < recipe.large_share:
            value = rng.randbytes(recipe.large_bytes)  # incompressible
        elif lot < recipe.large_share + recipe.bad_share:
            value = rng.choice(flaws)(record)
        yield f"{prefix}{number % KEYS}".encode(), value
        number += 1
