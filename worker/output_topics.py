"""Partition counts and size limits of the output topics, queried before the first result is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # exported, says its guide

from worker.kafka.outgoing_record import ANY_PARTITION
from worker.kafka.producer import LibrdkafkaProducer
from worker.scored_batch import ScoredBatch

_CALL_SECONDS: Final = 10.0
_SHARE_OF_LIMIT: Final = 0.95
"""The client's count of a batch's bytes differs slightly from the broker's."""


class OutputTopics:
    """The scores topic and, if there is one, the dead-letter topic.

    Nothing is known until the broker has answered. The batch limit stays unknown if the worker may not read the
    topics' configuration.
    """

    def __init__(self, config: Mapping[str, object], scores: str, others: Sequence[str] = ()) -> None:
        self._config = config
        self._scores = scores
        self._topics = (scores, *others)
        self._partitions: dict[str, int] = {}
        self.batch_bytes: int | None = None
        """The largest batch, in bytes, that every output topic accepts."""

    @property
    def is_known(self) -> bool:
        """Whether the broker has answered."""
        return self._partitions.get(self._scores, 0) > 0

    def partition_for(self, topic: str, partition: int) -> int:
        """Return the output partition of results without a key: one per source partition, to preserve their order."""
        partitions = self._partitions.get(topic, 0)
        return partition % partitions if partitions else ANY_PARTITION

    async def query(self) -> None:
        """Query the broker; without an answer, the next flush tries again."""
        await asyncio.to_thread(self._query)

    def _query(self) -> None:
        admin = AdminClient(dict[str, Any](self._config) | {"log_level": 0})
        try:
            found = {name: admin.list_topics(name, timeout=_CALL_SECONDS).topics[name] for name in self._topics}
        except KafkaException:
            return
        self.batch_bytes = self._limit(admin)
        self._partitions = {name: len(topic.partitions) for name, topic in found.items()}

    def _limit(self, admin: AdminClient) -> int | None:
        wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in self._topics]
        limits = []
        for answer in admin.describe_configs(wanted, request_timeout=_CALL_SECONDS).values():
            try:
                limits.append(int(answer.result(_CALL_SECONDS + 1)["max.message.bytes"].value))
            except (KafkaException, TimeoutError):
                continue
        return int(min(limits) * _SHARE_OF_LIMIT) if limits else None


async def query_limits(output_topics: OutputTopics | None, producer: LibrdkafkaProducer) -> None:
    """Query the output topics once, and limit batches to what they accept."""
    if output_topics is None or output_topics.is_known:
        return
    await output_topics.query()
    if output_topics.batch_bytes is not None and output_topics.batch_bytes < producer.batch_bytes:
        await producer.limit_batches(output_topics.batch_bytes)


async def queue_results(
    producer: LibrdkafkaProducer, topic: str, scored_batch: ScoredBatch, output_topics: OutputTopics | None
) -> None:
    """Queue scores, then dead letters."""
    source = scored_batch.batch.tp.partition
    keyless_partition = ANY_PARTITION if output_topics is None else output_topics.partition_for(topic, source)
    await producer.queue(topic, scored_batch.keys, scored_batch.scores, scored_batch.headers, keyless_partition)
    for letter in scored_batch.letters:
        if letter.key is None and output_topics is not None:
            letter.partition = output_topics.partition_for(letter.topic, source)
        await producer.queue_record(letter)
