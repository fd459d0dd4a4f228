"""Reads a group's committed offsets by an admin client, as the consumer belongs to its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP

from runtime import events
from runtime.logs import CLIENT_LOG
from worker.kafka.commits import tp_of
from worker.kafka.consumer_errors import on_admin_error

_CALL_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.2


class CommittedOffsets:
    """Reads a group's committed offsets, each time with a new client: an old one may wait for a broker that is gone."""

    def __init__(self, client_config: Mapping[str, object], group: str) -> None:
        """`client_config` configures the admin client."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self._group = group

    async def read(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the offsets of those partitions that have one; retries until all are stable, however long that takes.

        An offset in an open transaction is not stable.
        """
        while True:
            try:
                return await asyncio.to_thread(self._ask, tps)
            except KafkaException as failure:
                events.KafkaClientError("admin", failure.args[0].name()).emit()
            except TimeoutError:
                events.KafkaClientError("admin", "_TIMED_OUT").emit()
            await asyncio.sleep(_PAUSE_SECONDS)

    def _ask(self, tps: Collection[TP]) -> dict[TP, int]:
        client = AdminClient(self._client_config, logger=CLIENT_LOG)
        question = ConsumerGroupTopicPartitions(self._group, [TopicPartition(*tp) for tp in tps])
        futures = client.list_consumer_group_offsets([question], require_stable=True, request_timeout=_CALL_SECONDS)
        positions = futures[self._group].result(2 * _CALL_SECONDS).topic_partitions
        error = next((position.error for position in positions if position.error), None)
        if error is not None:
            raise KafkaException(error)
        return {tp_of(position): position.offset for position in positions if position.offset >= 0}
