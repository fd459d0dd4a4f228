"""Checks before a transaction commits that its records are from the topic with the expected ID.

A topic that is deleted and recreated keeps its name, and the client continues in the new one at the old offset. Offsets
committed then belong to the old topic and have no effect, so their results would be repeated. A response shows that
the topic is the same if the request was made after all records of the transaction had been read. It is made while
results are being delivered, so it adds hardly any latency. For the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]  # exported, says its guide

from runtime.logs import CLIENT_LOG
from worker.kafka.consumer_errors import on_admin_error
from worker.kafka.transactions import AbortRequiredError

_ANSWER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.001

Answer = Future[TopicDescription]


class TopicCheck:
    """Queries the topic's ID. `verify` raises DependencyError for a response with another topic's ID."""

    def __init__(self, client_config: Mapping[str, object], topic: str, verify: Callable[[Answer], None]) -> None:
        """`client_config` configures the admin client."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self._topic = topic
        self._verify = verify
        self._client: AdminClient | None = None

    def ask(self) -> Answer:
        """Send the request; does not wait."""
        if self._client is None:
            self._client = AdminClient(self._client_config, logger=CLIENT_LOG)
        asked = self._client.describe_topics(TopicCollection([self._topic]), request_timeout=_ANSWER_SECONDS)
        answer: Answer = asked[self._topic]
        return answer

    async def confirm(self, asked: Answer) -> None:
        """Wait for the response. Raises DependencyError for another topic, AbortRequiredError without a response.

        A client without a response may be stuck, so the next request goes to a new one.
        """
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS):
                while not asked.done():  # noqa: ASYNC110  # an answer is nearly always there
                    await asyncio.sleep(_POLL_SECONDS)
            self._verify(asked)
        except (KafkaException, TimeoutError) as failure:
            self._client = None
            raise AbortRequiredError("the topic's identity is not confirmed") from failure
