"""The group coordinator: members, generations, sessions, cooperative-sticky assignment, and committed offsets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError

from tests.simulation.logs import Topics
from tests.simulation.scheduler import Scheduler, Timer

SESSION_SECONDS: Final = 6.0
HEARTBEAT_SECONDS: Final = 1.0
_SYNC_SECONDS: Final = 0.6
"""The longest time that the leader takes to assign the partitions."""
_NOBODY: Final = ("", -1)
Offsets = Mapping[tuple[str, int], tuple[int, str]]


class Joined:
    """The response to a member when all members have joined."""

    __slots__ = ("generation", "member", "partitions")

    def __init__(self, member: str, generation: int, partitions: frozenset[tuple[str, int]]) -> None:
        self.member, self.generation, self.partitions = member, generation, partitions


class _Member:
    __slots__ = ("answer", "owned", "session", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.owned: frozenset[tuple[str, int]] = frozenset()
        self.answer: Callable[[Any], None] | None = None
        self.session: Timer | None = None


class Group:
    """A consumer group. `offsets` are the committed ones."""

    def __init__(self, scheduler: Scheduler, topics: Topics) -> None:
        self._scheduler, self._topics = scheduler, topics
        self._members: dict[str, _Member] = {}
        self._is_stable = True
        self.generation = 0
        self.offsets: dict[tuple[str, int], tuple[int, str]] = {}
        self._pending: dict[str, dict[tuple[str, int], tuple[int, tuple[int, str]]]] = {}
        self._writes = 0
        self._written: dict[tuple[str, int], int] = {}
        """The number of the write of each committed offset: the later written one wins."""
        self.on_committed: Callable[[Offsets], None] = lambda _offsets: None
        self.refuses_until = 0.0
        """The time until which commits are refused as if the coordinator were loading."""

    def members(self) -> set[str]:
        """Return the members' ids."""
        return set(self._members)

    def join(
        self, member: str, topic: str, owned: frozenset[tuple[str, int]], answer: Callable[[Any], None], *, is_new: bool
    ) -> None:
        """Join the next generation; the response is sent when all members have joined."""
        known = self._members.get(member)
        if known is None and not is_new:
            answer(KafkaError.UNKNOWN_MEMBER_ID)
            return
        if known is None:
            known = self._members[member] = _Member(topic)
        known.owned, known.answer = owned, answer
        self._is_stable = False
        self._touch(member)
        self._complete()

    def heartbeat(self, member: str, generation: int) -> int:
        """Keep a session alive; return an error code, or 0."""
        if (code := self._check(member, generation)) != KafkaError.NO_ERROR:
            return code
        self._touch(member)
        return KafkaError.NO_ERROR if self._is_stable else KafkaError.REBALANCE_IN_PROGRESS

    def leave(self, member: str) -> None:
        """Remove a member."""
        known = self._members.pop(member, None)
        if known is None:
            return
        if known.session is not None:
            known.session.cancel()
        self._is_stable = not self._members
        self._complete()

    def expel(self, process: str) -> None:
        """Remove a process's members, as if their sessions had timed out."""
        for member in sorted(self._members):
            if member.startswith(f"{process}/"):
                self.leave(member)

    def rebalance(self) -> None:
        """Make all members rejoin, as the topic has changed."""
        if self._members:
            self._is_stable = False

    def commit(self, member: str, generation: int, offsets: Offsets) -> int:
        """Store offsets for a member of this generation."""
        code = self._check(member, generation)
        if code == KafkaError.NO_ERROR and self.refuses_until > self._scheduler.now:
            code = KafkaError.COORDINATOR_LOAD_IN_PROGRESS
        if code == KafkaError.NO_ERROR:
            self.store(offsets)
        return code

    def commit_in_transaction(self, transaction: str, group: tuple[str, int] | None, offsets: Offsets) -> int:
        """Keep offsets until a transaction ends. A commit without a member id, as before joining, is accepted."""
        code = KafkaError.NO_ERROR if group is None or group == _NOBODY else self._check(*group)
        if code == KafkaError.NO_ERROR:
            self._pending.setdefault(transaction, {}).update(self._numbered(offsets))
        return code

    def end_transaction(self, transaction: str, *, is_commit: bool) -> Offsets:
        """Store the kept offsets, unless later ones have been stored; return those that are stored now."""
        kept = self._pending.pop(transaction, {})
        later = {tp: each for tp, each in kept.items() if is_commit and each[0] > self._written.get(tp, 0)}
        return self._store(later)

    def store(self, offsets: Offsets) -> None:
        """Store offsets."""
        self.on_committed(self._store(self._numbered(offsets)))

    def _numbered(self, offsets: Offsets) -> dict[tuple[str, int], tuple[int, tuple[int, str]]]:
        self._writes += 1
        return {tp: (self._writes, offset) for tp, offset in offsets.items()}

    def _store(self, numbered: Mapping[tuple[str, int], tuple[int, tuple[int, str]]]) -> Offsets:
        self._written.update({tp: number for tp, (number, _) in numbered.items()})
        offsets = {tp: offset for tp, (_, offset) in numbered.items()}
        self.offsets.update(offsets)
        return offsets

    def unstable(self, tps: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return the partitions with an offset of an open transaction."""
        return {tp for tp in tps if any(tp in offsets for offsets in self._pending.values())}

    def read(self, tps: Collection[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, str]]:
        """Return committed offsets."""
        return {tp: self.offsets[tp] for tp in tps if tp in self.offsets}

    def _check(self, member: str, generation: int) -> int:
        if generation < 0 and not self._members:
            return int(KafkaError.NO_ERROR)
        if member not in self._members:
            return int(KafkaError.UNKNOWN_MEMBER_ID)
        return int(KafkaError.NO_ERROR if generation == self.generation else KafkaError.ILLEGAL_GENERATION)

    def _touch(self, member: str) -> None:
        known = self._members[member]
        if known.session is not None:
            known.session.cancel()
        known.session = self._scheduler.later(SESSION_SECONDS, lambda: self._expire(member))

    def _expire(self, member: str) -> None:
        """Remove a member whose session has timed out, unless it is waiting for the others to join."""
        if self._members[member].answer is not None:
            self._touch(member)
        else:
            self.leave(member)

    def _complete(self) -> None:
        """Start the next generation if all members have joined."""
        if not self._members or any(each.answer is None for each in self._members.values()):
            return
        self.generation += 1
        generation, self._is_stable = self.generation, True
        seconds = self._scheduler.rng.random() ** 2 * _SYNC_SECONDS
        for name, partitions in self._assignment().items():
            member = self._members[name]
            answer, member.answer, member.owned = member.answer, None, partitions
            if answer is not None:
                joined = Joined(name, generation, partitions)
                self._scheduler.later(seconds, lambda answer=answer, joined=joined: answer(joined))

    def _assignment(self) -> dict[str, frozenset[tuple[str, int]]]:
        """Assign the partitions evenly; one that must move stays unassigned until its owner has revoked it."""
        names = sorted(self._members)
        topics = {member.topic for member in self._members.values()}
        every = sorted(tp for tp in self._topics.logs if tp[0] in topics)
        claims: dict[tuple[str, int], list[str]] = {}
        for name in names:
            for tp in self._members[name].owned:
                claims.setdefault(tp, []).append(name)
        shares: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
        free = []
        most, larger = len(every) // len(names), len(every) % len(names)
        for tp in every:
            owners = claims.get(tp, [])
            owner = owners[0] if len(owners) == 1 else None
            if owner is None:
                free.append(tp)
            elif len(shares[owner]) < most or (larger > 0 and len(shares[owner]) == most):
                larger -= len(shares[owner]) == most
                shares[owner].append(tp)
        for tp in free:
            shares[min(names, key=lambda name: len(shares[name]))].append(tp)
        return {name: frozenset(share) for name, share in shares.items()}
