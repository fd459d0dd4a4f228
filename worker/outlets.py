"""What is known of the topics that results go to: asked of the broker before the first result is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # exported, says its guide

from worker.transport.outgoing import ANY_PARTITION

_CALL_SECONDS: Final = 10.0
_SHARE_OF_LIMIT: Final = 0.95
"""What the client counts for a batch is not quite what the broker counts."""


class Outlets:
    """The topic of the scores and, if there is one, that of the dead letters.

    Until the broker has answered, nothing is known; the limit of batches is never known where the worker may not read
    the topics' configuration.
    """

    def __init__(self, config: Mapping[str, object], scores: str, others: Sequence[str] = ()) -> None:
        self._config = config
        self._scores = scores
        self._topics = (scores, *others)
        self._partitions: dict[str, int] = {}
        self.batch_bytes: int | None = None
        """The most that a batch may have for each of the topics to take it."""

    @property
    def is_known(self) -> bool:
        """Whether the broker has answered."""
        return self._partitions.get(self._scores, 0) > 0

    def home(self, topic: str, partition: int) -> int:
        """Return where results without a key go: all of one source partition to the same, so that order stays."""
        partitions = self._partitions.get(topic, 0)
        return partition % partitions if partitions else ANY_PARTITION

    async def ask(self) -> None:
        """Ask the broker; where it does not answer, it is asked again another time."""
        await asyncio.to_thread(self._ask)

    def _ask(self) -> None:
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
