"""Sentry's arroyo: batches of a thousand, scored in one call, unfolded, produced with a future each, then committed."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, MutableSequence
from typing import Final

from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer
from arroyo.backends.kafka.configuration import build_kafka_consumer_configuration
from arroyo.commit import ONCE_PER_SECOND
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import CommitOffsets, Produce, Unfold
from arroyo.processing.strategies.abstract import ProcessingStrategy, ProcessingStrategyFactory
from arroyo.processing.strategies.batching import BatchStep
from arroyo.types import BaseValue, BrokerValue, Commit, Partition, Topic, Value

from bench.task import TAKE_RECORDS, TAKE_SECONDS, Task, producer_config
from schemas.records import Source

_PENDING: Final = 10_000
"""Arroyo's default bound of unconfirmed results."""

Batch = MutableSequence[BaseValue[KafkaPayload]]


class Scoring(ProcessingStrategyFactory[KafkaPayload]):  # type: ignore[misc]  # arroyo is not there for mypy
    """Batch, score, unfold, produce, commit."""

    def __init__(self, task: Task) -> None:
        self._task = task
        # Simple futures are arroyo's own faster ones.
        self._producer = KafkaProducer(producer_config(task.servers), use_simple_futures=True)

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        """Put the steps together."""
        del partitions
        produce = Produce(self._producer, Topic(self._task.scores), CommitOffsets(commit), _PENDING)
        return BatchStep(TAKE_RECORDS, TAKE_SECONDS, Unfold(self._score, produce))

    def _score(self, batch: Batch) -> Iterable[BaseValue[KafkaPayload]]:
        """Score a batch in one call; each result keeps its record's key and offset."""
        records = [record for record in batch if isinstance(record, BrokerValue)]
        sources = [Source(r.partition.topic.name, r.partition.index, r.offset) for r in records]
        values = self._task.score([record.payload.value for record in records], sources)
        return [
            Value(KafkaPayload(record.payload.key, value, []), record.committable, record.timestamp)
            for record, value in zip(records, values, strict=True)
        ]


def main() -> None:
    """Run until SIGTERM."""
    task = Task.from_command_line("bench.peers.arroyo_strategy", __doc__)
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration({}, task.group, "earliest", bootstrap_servers=[task.servers])
    )
    processor = StreamProcessor(consumer, Topic(task.patients), Scoring(task), ONCE_PER_SECOND)
    signal.signal(signal.SIGTERM, lambda *_: processor.signal_shutdown())
    processor.run()


if __name__ == "__main__":
    main()
