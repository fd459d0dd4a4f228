"""Why the group does not let this worker in: another client's members share no assignor with it.

The broker's refusal says no more than that. Who the others are, an admin client is asked for; the consumer keeps trying
to join by itself, and does so once they have left.
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
from worker.transport.consumer_errors import on_admin_error

_CALL_SECONDS: Final = 10.0
_ASK_AGAIN_SECONDS: Final = 10.0
_STALE_SECONDS: Final = 30.0
"""The client tries to join every few seconds: without a refusal for this long, there is none any more."""
_MOST_MEMBERS: Final = 3
_MOST_CHARACTERS: Final = 100
_WHEN: Final = "it joins once they have left, or offer that assignor as well"


class GroupRefusal:
    """Learns who the other members are, and tells it once. For one thread; any may read `reason`."""

    def __init__(self, client_config: Mapping[str, object], group: str, assignor: str) -> None:
        """`client_config` says how to reach the brokers, `assignor` is the one that this worker offers."""
        self._client_config: dict[str, Any] = {**client_config, "error_cb": on_admin_error}
        self._group = group
        self._assignor = assignor
        self._client: AdminClient | None = None
        self._asked: Future[ConsumerGroupDescription] | None = None
        self._ask_at = self._refused_at = float("-inf")
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the group has refused this worker lately; None if it has not, or if nobody knows yet."""
        return None if self._is_stale() else self._reason

    def note(self) -> None:
        """Note a refusal, and ask who the others are unless that was asked a moment ago; does not block."""
        if self._is_stale():
            self._reason = None
        now = self._refused_at = time.monotonic()
        if self._asked is None and now >= self._ask_at:
            self._ask_at = now + _ASK_AGAIN_SECONDS
            # Asked by a new client each time, which remembers no broker that is gone, and must outlive its answer.
            self._client = AdminClient(self._client_config, logger=CLIENT_LOG)
            asked = self._client.describe_consumer_groups([self._group], request_timeout=_CALL_SECONDS)
            self._asked = asked[self._group]

    def look(self) -> None:
        """Take the answer if it is there; tell what is news."""
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
        """Return what an answer says; None where the others are gone already."""
        try:
            group = asked.result()
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            return (
                f"its members do not offer the assignor {self._assignor}, as this worker does; who they are could not "
                f"be learned ({error.name()}): {_WHEN}"
            )
        if not group.members or group.state == ConsumerGroupState.EMPTY:
            return None
        assignor = f"the assignor {group.partition_assignor}" if group.partition_assignor else "another assignor"
        return f"its members ({_names(group)}) use {assignor}, this worker {self._assignor}: {_WHEN}"


def _names(group: ConsumerGroupDescription) -> str:
    """Name the members' clients and hosts, not more than a line holds."""
    names = sorted({f"{member.client_id[:_MOST_CHARACTERS]} at {member.host}" for member in group.members})
    more = len(names) - _MOST_MEMBERS
    return ", ".join(names[:_MOST_MEMBERS]) + (f" and {more} more" if more > 0 else "")
