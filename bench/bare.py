"""The yardstick: the same scoring core in the fastest honest loop on confluent-kafka, one process, one thread.

It takes what is there, up to 2,000 records, processes, produces, and goes on at once while librdkafka delivers. Only
failures call back (`delivery.report.only.error`), which saves a Python call a record; so that a record is confirmed is
known when nothing at all is outstanding. Once a second, and at the end, it therefore stops producing until all is
confirmed, and only then commits. A failed delivery ends it with nothing committed past the truth.

It has none of what makes a worker: no dead letters, no draining when partitions are revoked, no bound on what is
outstanding but the client's, no metrics, no health.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from runtime.settings import Settings
from schemas.records import Source
from scoring.pipeline import Scored, process
from scoring.scorer import Scorer

BATCH_RECORDS: Final = 2_000
COMMIT_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1
_POLL_EVERY: Final = 500
_CONFIRM_SECONDS: Final = 60.0


class Loop:
    """Consumes, scores, produces, and commits what is confirmed."""

    def __init__(self, settings: Settings, scorer: Scorer) -> None:
        address = {"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 2}
        self._scorer = scorer
        self._topic = settings.topics.scores
        self._failures: list[str] = []
        self._positions: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(
            {
                **address,
                "group.id": settings.worker.group_id,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
                "queued.max.messages.kbytes": 32_768,
            }
        )
        self._producer = Producer(
            {
                **address,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 200_000,
                "delivery.report.only.error": True,
            }
        )
        self._consumer.subscribe([settings.topics.patients])

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop."""
        next_commit = time.monotonic() + COMMIT_SECONDS
        while not stopping.is_set():
            first = self._consumer.poll(_POLL_SECONDS)
            if first is not None:
                self._work([first, *self._consumer.consume(BATCH_RECORDS - 1, 0)])
            self._producer.poll(0)
            if time.monotonic() >= next_commit:
                self._commit()
                next_commit = time.monotonic() + COMMIT_SECONDS
        self._commit()
        self._consumer.close()

    def _work(self, messages: list[Message]) -> None:
        """Take one batch from raw records to results on their way."""
        sources = [Source(m.topic(), m.partition(), m.offset()) for m in messages]  # type: ignore[arg-type]  # consumed ones have them
        outcomes = process([message.value() for message in messages], sources, self._scorer)
        produce, topic, failed = self._producer.produce, self._topic, self._failed
        for place, outcome in enumerate(outcomes):
            if not isinstance(outcome, Scored):
                raise TypeError("the benchmark's records can all be scored")
            if place % _POLL_EVERY == 0:
                self._producer.poll(0)
            while True:
                try:
                    produce(topic, outcome.value, messages[place].key(), on_delivery=failed)
                except BufferError:
                    self._producer.poll(0.01)
                else:
                    break
        self._positions.update({(source.topic, source.partition): source.offset + 1 for source in sources})

    def _failed(self, error: KafkaError | None, _message: Message | None) -> None:
        """Hear of a record that cannot be delivered for good."""
        self._failures.append(error.name() if error is not None else "no error")

    def _commit(self) -> None:
        """Wait until all is confirmed, and commit it."""
        if not self._positions:
            return
        outstanding = self._producer.flush(_CONFIRM_SECONDS)
        if outstanding or self._failures:
            raise SystemExit(f"{outstanding} results unconfirmed, failures: {self._failures[:3]}")
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._positions.items()]
        self._consumer.commit(offsets=offsets, asynchronous=False)
        self._positions.clear()


def main() -> None:
    """Run until SIGTERM."""
    settings = Settings.from_mapping(os.environ)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    scorer = Scorer.from_directory(Path(settings.model.path), settings.model.name or None)
    gc.collect()
    gc.freeze()
    Loop(settings, scorer).run(stopping)
    sys.exit(0)


if __name__ == "__main__":
    main()
