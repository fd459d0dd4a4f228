"""Seeing, before a transaction commits, that its records are of the topic that they are believed to be of.

A topic that is deleted and made again keeps its name, and the client goes on in the new one at the old offset. Offsets
that a transaction commits then count for nothing, as they belong to the old topic, and its results would come again. An
answer proves that the topic is the same if it was asked for after all records of the transaction had been read. It is
asked for while their results are delivered, so it costs next to no time. For the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]  # exported, says its guide

from runtime.logs import CLIENT_LOG
from worker.transport.consumer_errors import on_admin_error
from worker.transport.transactions import AbortRequiredError

_ANSWER_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.001

Answer = Future[TopicDescription]


class TopicCheck:
    """Asks which topic bears the name. `judge` raises DependencyError for an answer that names another than is read."""

    def __init__(self, client_config: Mapping[str, object], topic: str, judge: Callable[[Answer], None]) -> None:
        """`client_config` says how to reach the brokers."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self._topic = topic
        self._judge = judge
        self._client: AdminClient | None = None

    def ask(self) -> Answer:
        """Ask now; does not wait."""
        if self._client is None:
            self._client = AdminClient(self._client_config, logger=CLIENT_LOG)
        asked = self._client.describe_topics(TopicCollection([self._topic]), request_timeout=_ANSWER_SECONDS)
        answer: Answer = asked[self._topic]
        return answer

    async def confirm(self, asked: Answer) -> None:
        """Wait for an answer. Raises DependencyError if the topic is another one, AbortRequiredError if none comes.

        A client that does not answer may be stuck: the next question goes to a new one.
        """
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS):
                while not asked.done():  # noqa: ASYNC110  # an answer is nearly always there
                    await asyncio.sleep(_LOOK_SECONDS)
            self._judge(asked)
        except (KafkaException, TimeoutError) as failure:
            self._client = None
            raise AbortRequiredError("the topic's identity is not confirmed") from failure
