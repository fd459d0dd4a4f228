"""Distinguishes a topic from an earlier, deleted one of the same name, by the ID that Kafka gives each topic.

The client does not notice: it continues at the old topic's offset in the new one, and skips the records before it. So
the ID is committed as metadata with each offset, and queried at each assignment and every other second, by an admin
client, as the consumer has no call for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]  # exported, says its guide

from runtime.logs import CLIENT_LOG
from schemas.errors import DependencyError
from worker.kafka.consumer_errors import on_admin_error

_CALL_SECONDS: Final = 10.0
_METADATA: Final = re.compile(r"topic-id=(?P<topic>\S+) cluster-id=(?P<cluster>\S+)")
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""The ID that brokers before Kafka 2.8, without topic IDs, return."""


class TopicIdentity:
    """Keeps the ID of the topic that is read. Not thread-safe."""

    def __init__(self, client_config: Mapping[str, object], topic: str) -> None:
        """`client_config` configures the admin client."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self.name = topic
        self._client: AdminClient | None = None
        self._response: Future[TopicDescription] | None = None
        self._id: str | None = None
        self.cluster = ""
        """The cluster's ID, part of the metadata: offsets may be mirrored to another cluster with theirs."""

    @property
    def commit_metadata(self) -> str:
        """The metadata of committed offsets; empty if the broker has no topic IDs."""
        return f"topic-id={self._id} cluster-id={self.cluster}" if self._id and self.cluster else ""

    def query(self, *, reading: bool) -> None:
        """Query the IDs of topic and cluster, and wait for them; `reading`: whether partitions are being read.

        Raises KafkaException or TimeoutError without a response, and DependencyError as `update`.
        """
        self._response = None
        response, client = self._ask(), self._client
        found: Any = client.list_topics(self.name, timeout=_CALL_SECONDS) if client is not None else None
        self.cluster = (found and found.cluster_id) or ""
        self._update_id(response, reading=reading)

    def update(self, *, reading: bool) -> None:
        """Take the response to the last request if it has arrived, or send a request; does not block.

        Raises DependencyError if the topic has been recreated while partitions of it are being read.
        """
        if self._response is None:
            self._response = self._ask()
        elif self._response.done():
            response, self._response = self._response, None
            try:
                self._update_id(response, reading=reading)
            except (KafkaException, TimeoutError):
                # The client may be stuck: use a new one.
                self._client = None

    def is_foreign(self, metadata: str | None) -> bool:
        """Whether a committed offset's metadata names another topic of this name, on this cluster."""
        found = _METADATA.fullmatch(metadata or "")
        return found is not None and found["cluster"] == self.cluster and self._id not in {None, found["topic"]}

    def _ask(self) -> Future[TopicDescription]:
        if self._client is None:
            self._client = AdminClient(self._client_config, logger=CLIENT_LOG)
        futures = self._client.describe_topics(TopicCollection([self.name]), request_timeout=_CALL_SECONDS)
        response: Future[TopicDescription] = futures[self.name]
        return response

    def verify(self, response: Future[TopicDescription]) -> None:
        """Raise DependencyError if a response names another topic than the one that is read. Thread-safe."""
        self._verify(_topic_id(response))

    def _verify(self, found: str | None) -> None:
        if found is not None and self._id not in {None, found}:
            raise DependencyError(
                f"topic {self.name} was deleted and recreated while it was read: after a restart, the worker reads "
                "the new topic from its first record"
            )

    def _update_id(self, response: Future[TopicDescription], *, reading: bool) -> None:
        found = _topic_id(response)
        if reading:
            self._verify(found)
        self._id = found or self._id


def _topic_id(response: Future[TopicDescription]) -> str | None:
    """Return the ID in a response; None if the topic does not exist now, or the broker has no topic IDs."""
    try:
        found = str(response.result(2 * _CALL_SECONDS).topic_id)
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        if error.code() not in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNSUPPORTED_FEATURE}:  # noqa: SLF001
            raise
        return None
    return None if found == _NO_ID else found
