"""Explains why the group refuses this worker: its members, of another client, do not offer the worker's assignor.

The broker's error does not name them, so an admin client looks them up. The consumer keeps trying to join by itself,
and succeeds once they have left.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription  # type: ignore[attr-defined]  # exported

from runtime import events
from runtime.logs import CLIENT_LOG
from worker.kafka.consumer_errors import on_admin_error

_CALL_SECONDS: Final = 10.0
_ASK_AGAIN_SECONDS: Final = 10.0
_STALE_SECONDS: Final = 30.0
"""The client tries to join every few seconds, so an older refusal no longer applies."""
_MOST_MEMBERS: Final = 3
_MOST_CHARACTERS: Final = 100
_WHEN: Final = "it joins once they have left, or offer that assignor as well"


class GroupRefusal:
    """Looks up the other members, and logs them once. For one thread; any thread may read `reason`."""

    def __init__(self, client_config: Mapping[str, object], group: str, assignor: str) -> None:
        """`client_config` configures the admin client; `assignor` is what this worker offers."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self._group = group
        self._assignor = assignor
        self._client: AdminClient | None = None
        self._asked: Future[ConsumerGroupDescription] | None = None
        self._ask_at = self._refused_at = float("-inf")
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the group has recently refused this worker; None if it has not, or the reason is not known yet."""
        return None if self._is_stale() else self._reason

    def record(self) -> None:
        """Record a refusal, and look up the members unless that was done recently; does not block."""
        if self._is_stale():
            self._reason = None
        now = self._refused_at = time.monotonic()
        if self._asked is None and now >= self._ask_at:
            self._ask_at = now + _ASK_AGAIN_SECONDS
            # A new client each time, as an old one may wait for a broker that is gone; it must outlive its request.
            self._client = AdminClient(self._client_config, logger=CLIENT_LOG)
            asked = self._client.describe_consumer_groups([self._group], request_timeout=_CALL_SECONDS)
            self._asked = asked[self._group]

    def update(self) -> None:
        """Take the response if it has arrived, and log a new reason."""
        if self._asked is None or not self._asked.done():
            return
        asked, self._asked, self._client = self._asked, None, None
        reason = self._reason_of(asked)
        if reason is not None and reason != self._reason:
            self._reason = reason
            events.GroupRefused(self._group, reason).emit()

    def _is_stale(self) -> bool:
        return time.monotonic() - self._refused_at > _STALE_SECONDS

    def _reason_of(self, asked: Future[ConsumerGroupDescription]) -> str | None:
        """Return the reason; None if the other members have left."""
        try:
            group = asked.result()
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            return (
                f"its members do not offer this worker's assignor {self._assignor}; they could not be looked up "
                f"({error.name()}): {_WHEN}"
            )
        if not group.members or group.state == ConsumerGroupState.EMPTY:
            return None
        assignor = f"the assignor {group.partition_assignor}" if group.partition_assignor else "another assignor"
        return f"its members ({_names(group)}) use {assignor}, this worker {self._assignor}: {_WHEN}"


def _names(group: ConsumerGroupDescription) -> str:
    """List the members' clients and hosts, at most a few."""
    names = sorted({f"{member.client_id[:_MOST_CHARACTERS]} at {member.host}" for member in group.members})
    more = len(names) - _MOST_MEMBERS
    return ", ".join(names[:_MOST_MEMBERS]) + (f" and {more} more" if more > 0 else "")
