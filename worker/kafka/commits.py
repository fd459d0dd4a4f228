"""Commits offsets: by the consumer, or in the producer's transactions.

Both run on the consumer thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from faust.types import TP

from runtime import events
from worker.kafka.ledger import Ledger

_REFRESH_SECONDS: Final = 0.1
_OVERDUE_SECONDS: Final = 2.0
"""A coordinator answers within milliseconds, and briefly refuses commits while a rebalance ends or it moves to another
broker. Less than any session timeout, so reading pauses before the group can reassign partitions."""

_ANSWER_SECONDS: Final = 10.0
_LAST_BACKOFF: Final = 2.0
_JITTER: Final = 1.2
"""The client repeats an offset commit twice, the second time after twice the backoff, a fifth more at most."""


class Commits(Protocol):
    """Commits the offsets that the ledger allows."""

    group_metadata: object
    """The consumer's group metadata for transactions; None if there are none."""
    is_in_flight: bool
    """Whether an asynchronous commit is unanswered: its retry may arrive after a later commit."""

    def do_due_work(self) -> None:
        """Do what is due; called all the time."""
        ...

    def on_rebalance(self) -> None:
        """Handle a rebalance."""
        ...

    def on_result(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        """Handle the result of an asynchronous commit."""
        ...

    def are_overdue(self) -> bool:
        """Whether commits have failed for so long that reading should pause, to limit repeated records."""
        ...

    def seconds_unanswered(self, silence: float) -> float:
        """Return for how long no broker has answered what shows that offsets can be committed.

        `silence` is for how long none has answered the queries of the same client.
        """
        ...

    def assume_failing_since(self, since: float) -> None:
        """Assume that commits have failed since then (monotonic seconds), as no broker answers; check by a commit."""
        ...

    def commit_final(self, tps: set[TP]) -> bool:
        """Commit the final offsets of revoked partitions; False if the broker refused."""
        ...


class ConsumerCommits:
    """Commits by the consumer: asynchronously at an interval, and synchronously on revocation."""

    group_metadata: object = None

    def __init__(self, consumer: Consumer, ledger: Ledger, interval: float, longest_retry: float = 0.24) -> None:
        """`interval` is in seconds. See the function `longest_retry`."""
        self._consumer = consumer
        self._ledger = ledger
        self._interval = interval
        self._longest_retry = longest_retry
        self._next = 0.0
        self.is_in_flight = False
        self._failing_since: float | None = None
        """When the first commit after the last success was sent, or since when commits are assumed to fail."""
        self._unanswered_since: float | None = None
        """When the first commit was sent since a broker last answered one."""

    def do_due_work(self) -> None:
        """Commit committable offsets asynchronously when the interval is over; the result comes to `on_result`.

        One commit at a time: the client retries a commit after a lost connection, and a retry that arrived after a
        later commit would set the group back.
        """
        now = time.monotonic()
        if now < self._next or self.is_in_flight:
            return
        self._next = now + self._interval
        offsets = self._ledger.take_committable()
        if not offsets and self._failing_since is not None:
            # Committing the same offsets again shows whether commits succeed.
            offsets = self._ledger.committed()
            if not offsets:
                self._failing_since = None
        if offsets:
            self.is_in_flight = True
            self._failing_since = self._failing_since or now
            self._unanswered_since = self._unanswered_since or now
            self._consumer.commit(offsets=positions_of(offsets, self._ledger.commit_metadata), asynchronous=True)

    def on_rebalance(self) -> None:
        """Nothing to do: the client knows its membership."""

    def on_result(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        """Handle the result of an asynchronous commit."""
        self.is_in_flight = False
        offsets = {tp_of(position): position.offset for position in positions}
        failed = {tp_of(position): position.offset for position in positions if error or position.error}
        self._ledger.mark_committed({tp: offsets[tp] for tp in offsets.keys() - failed.keys()})
        # The client's own errors are negative; the others are a broker's answer.
        if error is None or error.code() > 0:
            self._unanswered_since = None
        if failed:
            self._ledger.mark_uncommitted(failed)
            reason = error or next(position.error for position in positions if position.error)
            events.OffsetCommitFailed(reason.name(), len(failed)).emit()
        else:
            self._failing_since = None
            events.OffsetsCommitted({position.partition: position.offset for position in positions}).emit()

    def are_overdue(self) -> bool:
        """Whether none has succeeded for two seconds and an interval, although one was sent or a broker was silent."""
        since = self._failing_since
        if since is None:
            return False
        if not self._ledger.owned():
            # Nothing can be repeated, and a disconnected client may never get the result of its last commit.
            self._failing_since = None
            return False
        return time.monotonic() - since > self._interval + _OVERDUE_SECONDS

    def seconds_unanswered(self, silence: float) -> float:  # noqa: ARG002  # the group answers commits, any broker queries
        """Return for how long no broker has accepted or refused a commit; 0 if none is unanswered."""
        since = self._unanswered_since
        return 0.0 if since is None else time.monotonic() - since

    def assume_failing_since(self, since: float) -> None:
        """Count from then: each dead connection is noticed late, and separately."""
        if self._failing_since is None and self._ledger.committed():
            self._failing_since = since

    def commit_final(self, tps: set[TP]) -> bool:
        """Commit what is committable of these partitions and wait for the broker.

        A failed commit may be the first sign of a dead network, and this wait the longest: it counts from its start.
        """
        began = time.monotonic()
        offsets = self._ledger.uncommitted(tps)
        is_committed = not offsets or (self._wait_for_in_flight(tps) and _commit(self._consumer, self._ledger, offsets))
        if not is_committed:
            self.assume_failing_since(began)
        return is_committed

    def _wait_for_in_flight(self, tps: set[TP]) -> bool:
        """Wait until a commit in flight can no longer arrive behind the next one; False if no broker answers.

        Its result is reported by a poll only, not in the callback of a revocation. If its connection broke, the
        client repeats it when its backoff is over, and meanwhile another commit would be sent at once. An answer to a
        query shows that a connection is there; after the longest backoff, the repetition is on it.
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
    """Leaves offsets to the producer's transactions, and keeps the group metadata that these need up to date.

    Only the consumer thread may query the consumer, and it may be blocked in a poll, so it refreshes them regularly.
    """

    group_metadata: object = None
    is_in_flight = False

    def __init__(self, consumer: Consumer, ledger: Ledger) -> None:
        """Start without group metadata."""
        self._consumer = consumer
        self._ledger = ledger
        self._next = 0.0

    def do_due_work(self) -> None:
        """Refresh the group metadata, when it is time."""
        if time.monotonic() >= self._next:
            self.on_rebalance()

    def on_rebalance(self) -> None:
        """Refresh at once: with old metadata, the broker would refuse every transaction."""
        self._next = time.monotonic() + _REFRESH_SECONDS
        self.group_metadata = self._consumer.consumer_group_metadata()

    def on_result(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        """Nothing to do: no commit is asynchronous."""

    def are_overdue(self) -> bool:
        """Never: a transaction commits results and offsets together."""
        return False

    def seconds_unanswered(self, silence: float) -> float:
        """Return the silence itself: without commits of its own, only the client's queries show that it is cut off."""
        return silence

    def assume_failing_since(self, since: float) -> None:
        """Nothing to do: nothing can be repeated."""

    def commit_final(self, tps: set[TP]) -> bool:
        """Commit offsets beyond the last record, which no transaction has committed yet.

        Only with nothing in flight, so it cannot overtake a transaction, and this member begins no later one.
        """
        return _commit(self._consumer, self._ledger, self._ledger.committable_when_idle(tps))


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


def positions_of(offsets: Mapping[TP, int], metadata: str) -> list[TopicPartition]:
    """Return offsets in the client's form, with `metadata` as their commit metadata."""
    return [TopicPartition(tp.topic, tp.partition, offset, metadata=metadata) for tp, offset in offsets.items()]


def _commit(consumer: Consumer, ledger: Ledger, offsets: Mapping[TP, int]) -> bool:
    """Commit synchronously; False if the broker refused."""
    if not offsets:
        return True
    try:
        consumer.commit(offsets=positions_of(offsets, ledger.commit_metadata), asynchronous=False)
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        events.OffsetCommitFailed(error.name(), len(offsets)).emit()
        return False
    ledger.mark_committed(offsets)
    events.OffsetsCommitted({tp.partition: offset for tp, offset in offsets.items()}).emit()
    return True
