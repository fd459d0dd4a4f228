"""The yardstick: the same scoring core in the fastest honest loop on confluent-kafka, one process, one thread.

It takes what is there, up to 2,000 records, processes, produces, and goes on at once while librdkafka delivers. Only
failures call back (`delivery.report.only.error`), which saves a Python call a record; so that a record is confirmed is
known when nothing is in flight. Once a second, and at the end, it therefore stops producing until all is
confirmed, and only then commits. A failed delivery ends it with nothing committed past the truth.

It has none of what makes a worker: no dead letters, no draining when partitions are revoked, no bound on what is
in_flight but the client's, no metrics, no health.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from bench.task import BATCH_RECORDS, Task, consumer_config, producer_config, stop_on_sigterm
from schemas.records import Source

COMMIT_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1
_POLL_EVERY: Final = 500
_CONFIRM_SECONDS: Final = 60.0


def sources_of(messages: Sequence[Message]) -> list[Source]:
    """Return where each message was read."""
    return [Source(m.topic(), m.partition(), m.offset()) for m in messages]  # type: ignore[arg-type]  # consumed ones have them


class Sender:
    """Produces results; hears only of failures."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self.producer = producer
        self.failures: list[str] = []
        self._topic = topic

    def send(self, messages: Sequence[Message], scores: Sequence[bytes]) -> None:
        """Queue one score a message, with its key. The hot loop."""
        produce, topic, failed = self.producer.produce, self._topic, self._failed
        for place, score in enumerate(scores):
            if place % _POLL_EVERY == 0:
                self.producer.poll(0)
            while True:
                try:
                    produce(topic, score, messages[place].key(), on_delivery=failed)
                except BufferError:
                    self.producer.poll(0.01)
                else:
                    break

    def _failed(self, error: KafkaError | None, _message: Message | None) -> None:
        self.failures.append(error.name() if error is not None else "no error")


class Loop:
    """Consumes, scores, produces, and commits what is confirmed."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._positions: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(consumer_config(task.servers, task.group))
        producer = Producer(producer_config(task.servers) | {"delivery.report.only.error": True})
        self._sender = Sender(producer, task.scores)
        self._consumer.subscribe([task.patients])

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop."""
        next_commit = time.monotonic() + COMMIT_SECONDS
        while not stopping.is_set():
            first = self._consumer.poll(_POLL_SECONDS)
            if first is not None:
                self._work([first, *self._consumer.consume(BATCH_RECORDS - 1, 0)])
            self._sender.producer.poll(0)
            if time.monotonic() >= next_commit:
                self._commit()
                next_commit = time.monotonic() + COMMIT_SECONDS
        self._commit()
        self._consumer.close()

    def _work(self, messages: list[Message]) -> None:
        """Take one batch from raw records to results on their way."""
        sources = sources_of(messages)
        self._sender.send(messages, self._task.score([message.value() for message in messages], sources))
        self._positions.update({(source.topic, source.partition): source.offset + 1 for source in sources})

    def _commit(self) -> None:
        """Wait until all is confirmed, and commit it."""
        if not self._positions:
            return
        in_flight = self._sender.producer.flush(_CONFIRM_SECONDS)
        if in_flight or self._sender.failures:
            raise SystemExit(f"{in_flight} results unconfirmed, failures: {self._sender.failures[:3]}")
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._positions.items()]
        self._consumer.commit(offsets=offsets, asynchronous=False)
        self._positions.clear()


def main() -> None:
    """Run until SIGTERM."""
    stopping = stop_on_sigterm()
    Loop(Task.from_command_line("bench.bare", __doc__)).run(stopping)


if __name__ == "__main__":
    main()
