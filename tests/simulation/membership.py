"""A consumer's membership in its group, in the background: joining, revocation, lost partitions, departure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError

from tests.simulation.clients import Client, positions
from tests.simulation.group import HEARTBEAT_SECONDS, SESSION_SECONDS, Joined
from tests.simulation.logs import FakeMessage
from tests.simulation.network import GROUP, JOIN, Request

Place = tuple[str, int]
_LEAVE_SECONDS: Final = 3.0
NO_MEMBER: Final = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION})
"""A coordinator's errors for a client that is not a member."""
IDLE, JOINING, STEADY, CALLING, CLOSED = "idle", "joining", "steady", "calling", "closed"


class Member(Client):
    """A group member with the cooperative protocol. Callbacks of the application wait for its next poll."""

    def __init__(self, config: Mapping[str, Any], **options: object) -> None:
        super().__init__(config, **options)
        self._queue: deque[tuple[Place, int, FakeMessage] | Callable[[], None]] = deque()
        self._state = IDLE
        self._member, self._generation = "", -1
        self._owned: frozenset[Place] = frozenset()
        self._is_lost = self._is_unsubscribed = False
        self._heard_at = 0.0
        self._topic = ""
        self._join: Request | None = None

    def _drop(self, partitions: frozenset[Place]) -> None:
        """Stop fetching partitions that are given up."""
        raise NotImplementedError

    def subscribe(self, topics: Sequence[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        (self._topic,) = topics
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self._rejoin()
        self.process.later(HEARTBEAT_SECONDS, self._heartbeat)

    def _rejoin(self) -> None:
        if self._state == CLOSED or self._is_unsubscribed:
            return
        self._state = JOINING
        is_new = not self._member
        if is_new:
            self._member = f"{self.process.name}/{self.scheduler.next_number()}"
        member, owned = self._member, self._owned
        self._join = self.send(
            GROUP,
            JOIN,
            lambda answer: self.cluster.group.join(member, self._topic, owned, answer, is_new=is_new),
            self._joined,
        )

    def _joined(self, answer: Joined | int) -> None:
        if self._state != JOINING:
            return
        self._heard_at = self.scheduler.now
        if not isinstance(answer, Joined):
            self._lose(answer)
            return
        self._generation, self._state = answer.generation, CALLING
        added, revoked = answer.partitions - self._owned, self._owned - answer.partitions
        if revoked:
            self._call(lambda: self._serve_revoke(revoked, added))
        else:
            self._call(lambda: self._serve_assign(added))

    def _call(self, function: Callable[[], None]) -> None:
        """Defer a callback to the next poll."""
        self._queue.append(function)
        self.notify()

    def _serve_assign(self, added: frozenset[Place], *, is_last: bool = True) -> None:
        self._owned |= added
        self._on_assign(self, positions(sorted(added), {}))
        if is_last:
            self._settle()

    def _serve_revoke(self, revoked: frozenset[Place], added: frozenset[Place]) -> None:
        self._take_away(revoked)
        if added and not self._is_lost:
            self._serve_assign(added, is_last=False)
        if self._is_lost:
            self._settle()
        else:
            self._rejoin()

    def _take_away(self, partitions: frozenset[Place]) -> None:
        listed = positions(sorted(partitions), {})
        (self._on_lost if self._is_lost else self._on_revoke)(self, listed)
        self._owned -= partitions
        self._drop(partitions)

    def _settle(self) -> None:
        """Continue after a callback."""
        if self._state != CALLING:
            return
        self._state = STEADY
        if self._is_lost:
            self._lose()

    def _lose(self, code: int = KafkaError.UNKNOWN_MEMBER_ID) -> None:
        """Handle the loss of membership. The owned partitions are lost, and the next poll calls the callback.

        The member keeps what the error leaves valid: its id, or its generation.
        """
        self._is_lost = True
        if code == KafkaError.ILLEGAL_GENERATION:
            self._generation = -1
        else:
            self._member = ""
        if self._state == CALLING:
            return
        self._state = CALLING

        def serve() -> None:
            if self._owned:
                self._take_away(self._owned)
            self._is_lost = False
            self._rejoin()

        if self._owned:
            self._call(serve)
        else:
            serve()

    def _heartbeat(self) -> None:
        if self._state == CLOSED:
            return
        self.process.later(HEARTBEAT_SECONDS, self._heartbeat)
        if self._state not in {STEADY, CALLING} or not self._member or self._is_lost:
            return
        member, generation = self._member, self._generation

        def hear(code: int | None) -> None:
            if (member, generation) != (self._member, self._generation) or self._state not in {STEADY, CALLING}:
                return
            if code is None:
                if self.scheduler.now - self._heard_at > SESSION_SECONDS:
                    self._lose()
            elif code in NO_MEMBER:
                self._lose(code)
            else:
                self._heard_at = self.scheduler.now
                if code == KafkaError.REBALANCE_IN_PROGRESS and self._state == STEADY:
                    self._rejoin()

        group = self.cluster.group
        self.send(GROUP, "heartbeat", lambda answer: answer(group.heartbeat(member, generation)), hear, is_once=True)

    def consumer_group_metadata(self) -> tuple[str, int]:
        return self._member, self._generation

    def unsubscribe(self) -> None:
        self._is_unsubscribed = True
        self._leave_group()

    def close(self) -> None:
        must_leave = bool(self._owned)
        if self._owned:
            self._take_away(self._owned)
        self._state = CLOSED
        if must_leave:
            self._leave_group()

    def _leave_group(self) -> None:
        if self._join is not None:
            self._join.give_up()
        if self._member:
            member, left = self._member, []
            self._member, self._generation = "", -1

            def leave(answer: Callable[[Any], None]) -> None:
                self.cluster.group.leave(member)
                answer(True)

            request = self.send(GROUP, "leave", leave, lambda _: (left.append(True), self.notify()))
            self.wait(lambda: bool(left), _LEAVE_SECONDS)
            request.give_up()
