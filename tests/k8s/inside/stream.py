"""Produces records and reads their outcomes, in a pod: `python stream.py RECORDS_FILE RATE`.

Runs until /tmp/stop exists, waits for the last outcome, and prints one line of JSON with the account.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, says its guide

SERVERS = {"bootstrap.servers": os.environ["KAFKA"]}
STOP = Path("/tmp/stop")  # noqa: S108  # the pod's own
TICK_SECONDS = 0.05
PATIENCE_SECONDS = 90.0


def from_the_ends(topics: tuple[str, ...]) -> Consumer:
    """Return a consumer of these topics from their present ends on."""
    admin = AdminClient(SERVERS)
    found = admin.list_topics(timeout=30).topics
    partitions = [TopicPartition(topic, number) for topic in topics for number in found[topic].partitions]
    futures = admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest()), request_timeout=30)
    ends = [TopicPartition(end.topic, end.partition, future.result().offset) for end, future in futures.items()]
    consumer = Consumer({**SERVERS, "group.id": "account", "enable.auto.commit": False})
    consumer.assign(ends)
    return consumer


class Account:
    """The produced records, and each outcome by record."""

    def __init__(self) -> None:
        self.produced: set[str] = set()
        self.outcomes: dict[str, tuple[str, bytes]] = {}
        self.counts: Counter[str] = Counter()

    def read(self, consumer: Consumer) -> None:
        """Read the available outcomes, for a tick."""
        for message in consumer.consume(10_000, TICK_SECONDS):
            if message.error() is None:
                name, outcome = message.key().decode(), (message.topic(), message.value())
                first = self.outcomes.setdefault(name, outcome)
                self.counts["repeated"] += name in self.outcomes and first is not outcome
                self.counts["differing"] += first[1] != outcome[1]
        self.counts["open"] = len(self.produced - self.outcomes.keys())

    def line(self) -> str:
        """Return the account as JSON."""
        topics = Counter(topic for topic, _ in self.outcomes.values())
        lost = len(self.produced - self.outcomes.keys())
        unknown = len(self.outcomes.keys() - self.produced)
        kept = {name: self.counts[name] for name in ("repeated", "differing")}
        return json.dumps({"produced": len(self.produced), "lost": lost, "unknown": unknown, **kept, **topics})


def main(records: list[str], rate: float) -> None:
    """Produce at `rate` records a second until stopped; then wait for the missing outcomes."""
    account, consumer = Account(), from_the_ends(("scores", "patients.dlq"))
    producer = Producer({**SERVERS, "partitioner": "murmur2_random", "linger.ms": 5, "enable.idempotence": True})
    numbers = itertools.count()
    started, reported = time.monotonic(), 0.0
    while not STOP.exists():
        while len(account.produced) < (time.monotonic() - started) * rate:
            name = f"record-{next(numbers)}"
            account.produced.add(name)
            producer.produce("patients", records[len(account.produced) % len(records)], name)
        producer.poll(0)
        account.read(consumer)
        if time.monotonic() - reported > 1:
            reported = time.monotonic()
            print(json.dumps({"produced": len(account.produced), "open": account.counts["open"]}), flush=True)
    producer.flush()
    deadline = time.monotonic() + PATIENCE_SECONDS
    account.read(consumer)
    while account.counts["open"] and time.monotonic() < deadline:
        account.read(consumer)
    print(account.line(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text().splitlines(), float(sys.argv[2]))
