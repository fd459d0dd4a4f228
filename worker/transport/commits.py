"""How offsets come to the broker: by the consumer's own commits, or inside the producer's transactions.

Both run on the thread that owns the consumer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from faust.types import TP

from runtime import events
from worker.transport.ledger import Ledger

_LOOK_SECONDS: Final = 0.1
_OVERDUE_SECONDS: Final = 2.0
"""A coordinator answers within milliseconds, and refuses commits for a moment while a rebalance ends or it moves to
another broker. It is less than any session timeout: reading is held before the group can give partitions away."""


class Commits(Protocol):
    """Sees to it that what the ledger allows is stored."""

    group_metadata: object
    """This member of the group, as transactions need to know it; None where they do not."""
    is_in_flight: bool
    """Whether an asynchronous commit has no answer yet: its repetition may arrive behind a later commit."""

    def turn(self) -> None:
        """Do what is due; called all the time."""
        ...

    def rebalanced(self) -> None:
        """Hear that the group has changed."""
        ...

    def are_overdue(self) -> bool:
        """Say whether the broker has stored no offsets for so long that more results would be too many to repeat."""
        ...

    def doubt(self, since: float) -> None:
        """Hear that since then (monotonic seconds) no broker answered, or stored what it was given: ask it again."""
        ...

    def leave(self, tps: set[TP]) -> bool:
        """Store what is committable of partitions that are given back; False if the broker refused."""
        ...


class ConsumerCommits:
    """Commits through the consumer: asynchronously at an interval, and synchronously when partitions leave."""

    group_metadata: object = None

    def __init__(self, consumer: Consumer, ledger: Ledger, interval: float) -> None:
        """`interval` is in seconds."""
        self._consumer = consumer
        self._ledger = ledger
        self._interval = interval
        self._next = 0.0
        self.is_in_flight = False
        self._unanswered_since: float | None = None
        """When the first commit was sent since one last succeeded, or since when it is doubted that one would."""

    def turn(self) -> None:
        """Hand committable offsets to the client when it is time; the result comes back through `heard`.

        One commit at a time: the client repeats one that a broken connection lost, and a repetition that overtook a
        later commit would set the group back.
        """
        now = time.monotonic()
        if now < self._next or self.is_in_flight:
            return
        self._next = now + self._interval
        offsets = self._ledger.take_committable()
        if not offsets and self._unanswered_since is not None:
            # To store again what is stored shows whether commits succeed.
            offsets = self._ledger.stored()
            if not offsets:
                self._unanswered_since = None
        if offsets:
            self.is_in_flight = True
            if self._unanswered_since is None:
                self._unanswered_since = now
            self._consumer.commit(offsets=positions_of(offsets, self._ledger.note), asynchronous=True)

    def rebalanced(self) -> None:
        """Go on: the client knows by itself which member it is."""

    def heard(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        """Hear how an asynchronous commit ended."""
        self.is_in_flight = False
        offsets = {tp_of(position): position.offset for position in positions}
        failed = {tp_of(position): position.offset for position in positions if error or position.error}
        self._ledger.note_stored({tp: offsets[tp] for tp in offsets.keys() - failed.keys()})
        if failed:
            self._ledger.give_back(failed)
            reason = error or next(position.error for position in positions if position.error)
            events.OffsetCommitFailed(reason.name(), len(failed)).emit()
        else:
            self._unanswered_since = None
            events.OffsetsCommitted({position.partition: position.offset for position in positions}).emit()

    def are_overdue(self) -> bool:
        """Say whether none has succeeded for two seconds and an interval, though one was sent or the broker silent."""
        since = self._unanswered_since
        if since is None:
            return False
        if not self._ledger.owned():
            # Nothing would be repeated, and a client that is cut off may never hear of its last commit.
            self._unanswered_since = None
            return False
        return time.monotonic() - since > self._interval + _OVERDUE_SECONDS

    def doubt(self, since: float) -> None:
        """Begin to count from then: a connection that is dead is noticed late, and for each one by itself."""
        if self._unanswered_since is None and self._ledger.stored():
            self._unanswered_since = since

    def leave(self, tps: set[TP]) -> bool:
        """Store what is committable of these partitions and wait for the broker.

        A commit that fails may be the first to meet a network that is dead, and this wait the longest: it counts.
        """
        began = time.monotonic()
        is_stored = _commit(self._consumer, self._ledger, self._ledger.unstored(tps))
        if not is_stored:
            self.doubt(began)
        return is_stored


class TransactionCommits:
    """Leaves offsets to the producer's transactions, and tells them which member of the group this is.

    Only this thread may ask the consumer, and it may be waiting in a poll: so it looks again and again.
    """

    group_metadata: object = None
    is_in_flight = False

    def __init__(self, consumer: Consumer, ledger: Ledger) -> None:
        """Know nothing yet."""
        self._consumer = consumer
        self._ledger = ledger
        self._next = 0.0

    def turn(self) -> None:
        """Look at the membership, when it is time."""
        if time.monotonic() >= self._next:
            self.rebalanced()

    def rebalanced(self) -> None:
        """Look at once: with what was known before, the broker would refuse every transaction."""
        self._next = time.monotonic() + _LOOK_SECONDS
        self.group_metadata = self._consumer.consumer_group_metadata()

    def are_overdue(self) -> bool:
        """Never: without its offsets a transaction does not commit, and no result of it counts."""
        return False

    def doubt(self, since: float) -> None:
        """Do nothing: there is nothing to repeat."""

    def leave(self, tps: set[TP]) -> bool:
        """Store how far partitions were read beyond their last record, which no transaction has carried yet.

        Only where nothing is in flight, so it cannot overtake a transaction; and no later one can come of this member.
        """
        return _commit(self._consumer, self._ledger, self._ledger.passed(tps))


def tp_of(position: TopicPartition) -> TP:
    """Return the partition of a position."""
    return TP(position.topic, position.partition)


def tps_of(positions: Iterable[TopicPartition]) -> set[TP]:
    """Return the partitions of positions."""
    return {tp_of(position) for position in positions}


def positions_of(offsets: Mapping[TP, int], note: str) -> list[TopicPartition]:
    """Return offsets as the client takes them, each with a note that the broker stores beside it."""
    return [TopicPartition(tp.topic, tp.partition, offset, metadata=note) for tp, offset in offsets.items()]


def _commit(consumer: Consumer, ledger: Ledger, offsets: Mapping[TP, int]) -> bool:
    """Commit through the consumer and wait for the broker; False if it refused."""
    if not offsets:
        return True
    try:
        consumer.commit(offsets=positions_of(offsets, ledger.note), asynchronous=False)
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        events.OffsetCommitFailed(error.name(), len(offsets)).emit()
        return False
    ledger.note_stored(offsets)
    events.OffsetsCommitted({tp.partition: offset for tp, offset in offsets.items()}).emit()
    return True
