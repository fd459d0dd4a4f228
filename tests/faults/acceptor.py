"""Whether the model allows what the workers did: rules that mirror its actions one to one, for traces of any length.

A worker's log shows its own steps, not the broker's. A hidden step (a commit without a response) is kept as possible
until a later step shows whether it happened: the next owner's first offset, or the committed offsets that it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal

from tests.faults.group import Group, Lease
from tests.faults.trace import Step

Guarantee = Literal["at_least_once", "exactly_once"]
_BETWEEN_TRANSACTIONS: Final = ("init_transactions", "_FENCED")
"""Reasons to replace a producer though no transaction is open or uncertain."""
_SILENCE_SECONDS: Final = 12.0
"""A call that took longer was abandoned, and its producer replaced, before it returned; or the process was frozen."""


class RefusedError(Exception):
    """The model does not allow a step."""


class Member:
    """One worker process, and the rules for its steps under both guarantees."""

    def __init__(self, name: str, group: Group) -> None:
        self.name, self.group = name, group
        self.leases: dict[int, Lease] = {}
        self.former: dict[int, Lease] = {}

    def take(self, step: Step) -> None:
        """Apply a step; raises RefusedError if it is not allowed here."""
        rule: Callable[[Step], None] | None = getattr(self, f"on_{step.action.lower()}", None)
        _require(rule is not None, "there is no such step under this guarantee")
        assert rule is not None
        rule(step)

    def on_assigned(self, step: Step) -> None:
        for partition, offset in step.offsets.items():
            _require(partition not in self.leases, "it has this partition already")
            if offset is None and self.group.is_replaced:
                self.group.forget(partition)
            known = self.group.committed.get(partition)
            _require(offset is not None or known is None, "it begins at the first record, but an offset is committed")
            if offset is not None:
                self.resume(partition, offset, known or 0)
            self.leases[partition] = Lease(offset or 0, self.group.owners.get(partition))
            self.group.owners[partition] = (self.name, offset or 0)
            self.former.pop(partition, None)

    def on_revoked(self, step: Step) -> None:
        for partition in step.partitions:
            lease = self._give_up(partition)
            low, high = sorted((lease.done, lease.stored))
            open_ = step.flag and self.group.lies_between(partition, low, high)
            _require(not open_, "it says that all is confirmed and committed")

    def on_lost(self, step: Step) -> None:
        for partition in step.partitions:
            lease = self._give_up(partition)
            if lease.done == lease.stored == lease.start and lease.former_owner and self.owns(partition):
                # It may have been removed before it got its assignment, and have had none.
                self.group.owners[partition] = lease.former_owner

    def resume(self, partition: int, offset: int, known: int) -> None:
        """Take over a partition at a committed offset; `known` is the highest that was seen."""
        raise NotImplementedError

    def _give_up(self, partition: int) -> Lease:
        _require(partition in self.leases, "it does not have this partition")
        self.former[partition] = self.leases.pop(partition)
        return self.former[partition]

    def lease(self, partition: int) -> Lease:
        """Return a lease, possibly one that has just ended, as another thread may log that earlier."""
        found = self.leases.get(partition) or self.former.get(partition)
        _require(found is not None, "it does not have this partition")
        assert found is not None
        return found

    def owns(self, partition: int) -> bool:
        """Whether no other member has taken over a partition since."""
        return self.group.owners[partition][0] == self.name

    def require_in_time(self, partition: int, offset: int) -> None:
        """Refuse a zombie's commit; one that was stored before the next owner began may be logged late."""
        in_time = self.owns(partition) or offset <= self.group.owners[partition][1]
        _require(in_time, "another worker had taken over before")

    def confirm(self, partition: int, runs: Sequence[tuple[int, int]]) -> Lease:
        """Confirm results of a partition: the next ones, without a gap that contains a record."""
        lease = self.lease(partition)
        for start, end in runs:
            _require(lease.done <= start < end, "these records were confirmed before")
            _require(not self.group.lies_between(partition, lease.done, start), "a record was passed over")
            lease.done = end
        return lease


class AtLeastOnceMember(Member):
    """AtLeastOnce.tla: results are confirmed (Confirmed), then the offset up to which all are done (CommitArrived)."""

    def resume(self, partition: int, offset: int, known: int) -> None:
        _require(offset >= known, "the group has been set back")
        confirmed = max(known, self.group.confirmed[partition])
        _require(
            not self.group.lies_between(partition, confirmed, offset), "it begins behind a record without a result"
        )
        self.group.store(partition, offset)

    def on_confirmed(self, step: Step) -> None:
        for partition, runs in step.ranges.items():
            done = self.confirm(partition, runs).done
            self.group.confirmed[partition] = max(done, self.group.confirmed[partition])

    def on_committed(self, step: Step) -> None:
        for partition, offset in _known(step).items():
            lease = self.lease(partition)
            unconfirmed = self.group.lies_between(partition, lease.done, offset)
            _require(not unconfirmed, "a record before this offset has no confirmed result")
            self.require_in_time(partition, offset)
            lease.stored = max(lease.stored, offset)
            self.group.store(partition, offset)


class ExactlyOnceMember(Member):
    """ExactlyOnce.tla. `state` is the worker's `step` there; `sent` is what its open transaction is to commit."""

    def __init__(self, name: str, group: Group) -> None:
        super().__init__(name, group)
        self.state = "ready"
        self.unsure = self.slow = False
        self.sent: dict[int, int] = {}
        self.learnt: dict[int, int] = {}
        self.present: set[int] = set()
        """Partitions that this worker has owned since the open transaction began."""

    def resume(self, partition: int, offset: int, known: int) -> None:
        possible = self.group.possible[partition].values()
        passed = offset > known and not self.group.lies_between(partition, known, offset)
        _require(offset == known or passed or (offset > known and offset in possible), "nobody committed this offset")
        self.group.store(partition, offset)

    def on_assigned(self, step: Step) -> None:
        super().on_assigned(step)
        self.present |= step.offsets.keys()
        for partition in step.offsets:
            # Its offset is stable: any transaction that was open on this partition has ended.
            self.group.possible[partition].clear()

    def on_begun(self, _step: Step) -> None:
        self._require_state("ready", "committed", "aborting", "learnt")
        _require(bool(self.leases or self.former), "it has no partitions")
        for partition, lease in self.leases.items():
            unconfirmed = self.state == "committed" and self.group.lies_between(partition, lease.done, lease.stored)
            _require(not unconfirmed, "what was committed is not confirmed")
        _require(not self.unsure, "a request may have been sent twice, and there is no new producer")
        self.state, self.present = "sent", set(self.leases)
        self._forget_sent()

    def on_offsetssent(self, step: Step) -> None:
        self._require_state("sent")
        for partition, offset in _known(step).items():
            _require(partition in self.present, "it does not have this partition")
            _require(offset > self.lease(partition).stored, "this offset is committed already")
            if self.owns(partition):
                self.group.possible[partition][self.name] = offset
        self.state, self.sent = "storing", _known(step)

    def on_committed(self, step: Step) -> None:
        offsets = _known(step)
        if step.flag:
            self._require_state("storing")
            _require(offsets == self.sent, "these are not the offsets that it sent")
        for partition, offset in offsets.items():
            lease = self.lease(partition)
            if step.flag:
                possible = self.group.possible[partition].pop(self.name, None) == offset
                _require(possible or offset in self.group.stored[partition], "another worker had taken over before")
            else:
                _require(not self.group.lies_between(partition, lease.stored, offset), "records need a transaction")
                self.require_in_time(partition, offset)
            lease.stored = max(lease.stored, offset)
            self.group.store(partition, offset)
        if step.flag:
            self.state, self.sent = "committed", {}

    def on_aborted(self, _step: Step) -> None:
        self._require_state("sent", "storing")
        self._forget_sent()
        self.state = "aborting"

    def on_sentagain(self, step: Step) -> None:
        self.slow = True
        self.unsure = self.unsure or step.seconds < _SILENCE_SECONDS

    def on_replaced(self, step: Step) -> None:
        between = self.slow or step.call in _BETWEEN_TRANSACTIONS
        if self.state in {"sent", "storing"} or (self.state == "aborting" and not between):
            self.state = "learning"
        _require(between or self.state == "learning", "nothing was uncertain about this producer")
        self.unsure = self.slow = False

    def on_learned(self, step: Step) -> None:
        self._require_state("learning", "aborting")
        if step.again == len(self.sent):
            # None was committed. The offsets of lost partitions were not read.
            self._forget_sent()
        self.learnt |= self.sent if step.committed else {}
        self.state, self.sent = "learnt", {}

    def on_confirmed(self, step: Step) -> None:
        _require(self.state != "aborting" or not step.ranges, "the transaction was aborted")
        self._require_state("ready", "committed", "learnt", "aborting")
        for partition, runs in step.ranges.items():
            done = self.confirm(partition, runs).done
            lease = self.lease(partition)
            if lease.stored < done:
                lease.stored = self._learn(partition, done)
            _require(not self.group.lies_between(partition, done, lease.stored), "an offset passed over a record")
            lease.done = lease.stored
        self._forget_sent()
        self.state, self.learnt = "ready", {}

    def _learn(self, partition: int, done: int) -> int:
        """Return the offset that shows that results up to `done` exist, though no response confirmed it."""
        offset = max(self.learnt.get(partition, 0), self.group.committed.get(partition, 0))
        _require(offset >= done, "no offset was committed with these results")
        self.group.store(partition, offset)
        return offset

    def _forget_sent(self) -> None:
        for partition in self.sent.keys() - self.learnt.keys():
            self.group.possible[partition].pop(self.name, None)
        self.sent = {}

    def _require_state(self, *states: str) -> None:
        _require(self.state in states, f"it is at the step {self.state!r}")


_MEMBERS: Final[Mapping[str, type[Member]]] = {"at_least_once": AtLeastOnceMember, "exactly_once": ExactlyOnceMember}


def refusal(
    steps: Iterable[Step], guarantee: Guarantee, records: Mapping[int, Sequence[int]], *, is_replaced: bool = False
) -> str:
    """Return the first step that the model does not allow, with the reason, or "" if it allows all."""
    group = Group(records, is_replaced=is_replaced)
    members: dict[str, Member] = {}
    for step in steps:
        member = members.get(step.worker)
        if member is None:
            member = members[step.worker] = _MEMBERS[guarantee](step.worker, group)
        try:
            member.take(step)
        except RefusedError as error:
            return f"{step}: {error}"
    return ""


def _known(step: Step) -> dict[int, int]:
    return {partition: offset for partition, offset in step.offsets.items() if offset is not None}


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001  # reads like an assertion
    if not holds:
        raise RefusedError(otherwise)
