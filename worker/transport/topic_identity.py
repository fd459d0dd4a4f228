"""Telling a topic from one of the same name that was deleted before it: Kafka gives each an id of its own.

The client does not tell: it goes on at the old topic's offset in the new one, and passes over the records before it. So
the id is written beside each committed offset, and asked for at each assignment and every other second. It is asked for
by a client of its own, as the consumer has no call for it.
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
from worker.transport.consumer_errors import on_admin_error

_CALL_SECONDS: Final = 10.0
_NOTE: Final = re.compile(r"topic-id=(?P<topic>\S+) cluster-id=(?P<cluster>\S+)")
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"
"""What brokers before Kafka 2.8 say, which have no topic ids."""


class TopicIdentity:
    """Knows which topic of a name is read. For one thread."""

    def __init__(self, client_config: Mapping[str, object], topic: str) -> None:
        """`client_config` says how to reach the brokers."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self._topic = topic
        self._client: AdminClient | None = None
        self._asked: Future[TopicDescription] | None = None
        self._id: str | None = None
        self.cluster = ""
        """The cluster's id, which belongs to a note: offsets may be mirrored to another cluster with theirs."""

    @property
    def note(self) -> str:
        """What is written beside a committed offset; empty if the broker has no topic ids."""
        return f"topic-id={self._id} cluster-id={self.cluster}" if self._id and self.cluster else ""

    def learn(self, *, reading: bool) -> None:
        """Ask which topic of which cluster it is, and wait for the answer; `reading` says that it is being read.

        Raises KafkaException or TimeoutError where there is no answer, and DependencyError as `look`.
        """
        self._asked = None
        asked, client = self._ask(), self._client
        found: Any = client.list_topics(self._topic, timeout=_CALL_SECONDS) if client is not None else None
        self.cluster = (found and found.cluster_id) or ""
        self._take(asked, reading=reading)

    def look(self, *, reading: bool) -> None:
        """Take the answer to the last question if it is there, and ask again; does not block.

        Raises DependencyError if the topic is another one now, while partitions of it are being read.
        """
        if self._asked is None:
            self._asked = self._ask()
        elif self._asked.done():
            asked, self._asked = self._asked, None
            try:
                self._take(asked, reading=reading)
            except (KafkaException, TimeoutError):
                # A client that is stuck would never answer again.
                self._client = None

    def is_foreign(self, note: str | None) -> bool:
        """Say whether a note beside a committed offset is of another topic of this name, on this cluster."""
        found = _NOTE.fullmatch(note or "")
        return found is not None and found["cluster"] == self.cluster and self._id not in {None, found["topic"]}

    def _ask(self) -> Future[TopicDescription]:
        if self._client is None:
            self._client = AdminClient(self._client_config, logger=CLIENT_LOG)
        asked = self._client.describe_topics(TopicCollection([self._topic]), request_timeout=_CALL_SECONDS)
        answer: Future[TopicDescription] = asked[self._topic]
        return answer

    def verify(self, asked: Future[TopicDescription]) -> None:
        """Raise DependencyError if an answer names another topic than the one that is read. Any thread may ask."""
        self._verify(_topic_id(asked))

    def _verify(self, found: str | None) -> None:
        if found is not None and self._id not in {None, found}:
            raise DependencyError(
                f"topic {self._topic} was deleted and made again while it was read: started again, the worker reads "
                "the new topic from its first record on"
            )

    def _take(self, asked: Future[TopicDescription], *, reading: bool) -> None:
        found = _topic_id(asked)
        if reading:
            self._verify(found)
        self._id = found or self._id


def _topic_id(asked: Future[TopicDescription]) -> str | None:
    """Return the id in an answer; None if there is no such topic just now, or the broker has no ids."""
    try:
        found = str(asked.result(2 * _CALL_SECONDS).topic_id)
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        if error.code() not in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNSUPPORTED_FEATURE}:  # noqa: SLF001
            raise
        return None
    return None if found == _NO_ID else found
