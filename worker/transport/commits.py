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

_ANSWER_SECONDS: Final = 10.0
_LAST_BACKOFF: Final = 2.0
_JITTER: Final = 1.2
"""The client repeats an offset commit twice, the second time after twice the backoff, a fifth more at most."""


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

    def are_unanswered(self, seconds: float) -> bool:
        """Say whether a broker has neither stored nor refused what it was asked to store for more than so long."""
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

    def __init__(self, consumer: Consumer, ledger: Ledger, interval: float, longest_retry: float = 0.24) -> None:
        """`interval` is in seconds. See the function `longest_retry`."""
        self._consumer = consumer
        self._ledger = ledger
        self._interval = interval
        self._longest_retry = longest_retry
        self._next = 0.0
        self.is_in_flight = False
        self._unstored_since: float | None = None
        """When the first commit was sent since one last succeeded, or since when it is doubted that one would."""
        self._unanswered_since: float | None = None
        """When the first commit was sent since a broker last answered one."""

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
        if not offsets and self._unstored_since is not None:
            # To store again what is stored shows whether commits succeed.
            offsets = self._ledger.stored()
            if not offsets:
                self._unstored_since = None
        if offsets:
            self.is_in_flight = True
            self._unstored_since = self._unstored_since or now
            self._unanswered_since = self._unanswered_since or now
            self._consumer.commit(offsets=positions_of(offsets, self._ledger.note), asynchronous=True)

    def rebalanced(self) -> None:
        """Go on: the client knows by itself which member it is."""

    def heard(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        """Hear how an asynchronous commit ended."""
        self.is_in_flight = False
        offsets = {tp_of(position): position.offset for position in positions}
        failed = {tp_of(position): position.offset for position in positions if error or position.error}
        self._ledger.note_stored({tp: offsets[tp] for tp in offsets.keys() - failed.keys()})
        # The client's own errors are negative; the others are a broker's answer.
        if error is None or error.code() > 0:
            self._unanswered_since = None
        if failed:
            self._ledger.give_back(failed)
            reason = error or next(position.error for position in positions if position.error)
            events.OffsetCommitFailed(reason.name(), len(failed)).emit()
        else:
            self._unstored_since = None
            events.OffsetsCommitted({position.partition: position.offset for position in positions}).emit()

    def are_overdue(self) -> bool:
        """Say whether none has succeeded for two seconds and an interval, though one was sent or the broker silent."""
        since = self._unstored_since
        if since is None:
            return False
        if not self._ledger.owned():
            # Nothing would be repeated, and a client that is cut off may never hear of its last commit.
            self._unstored_since = None
            return False
        return time.monotonic() - since > self._interval + _OVERDUE_SECONDS

    def are_unanswered(self, seconds: float) -> bool:
        """Say whether no broker has answered for so long, though a commit was sent."""
        since = self._unanswered_since
        return since is not None and time.monotonic() - since > seconds

    def doubt(self, since: float) -> None:
        """Begin to count from then: a connection that is dead is noticed late, and for each one by itself."""
        if self._unstored_since is None and self._ledger.stored():
            self._unstored_since = since

    def leave(self, tps: set[TP]) -> bool:
        """Store what is committable of these partitions and wait for the broker.

        A commit that fails may be the first to meet a network that is dead, and this wait the longest: it counts.
        """
        began = time.monotonic()
        offsets = self._ledger.unstored(tps)
        is_stored = not offsets or (self._come_after(tps) and _commit(self._consumer, self._ledger, offsets))
        if not is_stored:
            self.doubt(began)
        return is_stored

    def _come_after(self, tps: set[TP]) -> bool:
        """Wait until a commit in flight can no longer arrive behind the next one; False if no broker answers.

        Its own answer is heard in a poll alone, and not in the callback of a revocation. If its connection broke, the
        client repeats it when its backoff is over, and meanwhile another commit would be sent at once. An answer to a
        question shows that a connection is there; after the longest backoff, the repetition is on it.
        """
        if not self.is_in_flight:
            return True
        try:
            self._consumer.committed([TopicPartition(*tp) for tp in tps], timeout=_ANSWER_SECONDS)
        except KafkaException:
            return False
        time.sleep(self._longest_retry)
        return True


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

    def are_unanswered(self, seconds: float) -> bool:  # noqa: ARG002
        """Never: the group's refusal of transactions shows that this client has lost it."""
        return False

    def doubt(self, since: float) -> None:
        """Do nothing: there is nothing to repeat."""

    def leave(self, tps: set[TP]) -> bool:
        """Store how far partitions were read beyond their last record, which no transaction has carried yet.

        Only where nothing is in flight, so it cannot overtake a transaction; and no later one can come of this member.
        """
        return _commit(self._consumer, self._ledger, self._ledger.passed(tps))


def longest_retry(config: Mapping[str, object]) -> float:
    """Return for how long, in seconds, a client of this configuration waits at most to repeat an offset commit."""
    backoff = float(str(config.get("retry.backoff.ms", 100))) * _LAST_BACKOFF * _JITTER
    return min(backoff, float(str(config.get("retry.backoff.max.ms", 1_000)))) / 1_000


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
