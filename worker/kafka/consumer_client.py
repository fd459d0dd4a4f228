"""One client of the consumer thread: a member of the group, with its commits, lag and paused partitions.

librdkafka calls back for assignments, revocations and commit results inside `poll` and `close`, on the consumer thread.
So offsets are committed inside the revocation callback: a commit in another thread would deadlock with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, TopicPartition
from faust.types import TP

from runtime import events
from runtime.logs import CLIENT_LOG
from worker.kafka.commits import Commits, ConsumerCommits, TransactionCommits, longest_retry, tp_of, tps_of
from worker.kafka.consumer_errors import on_client_error
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_recovery import ExpulsionTimer, close_abandoned, leave_group
from worker.kafka.lag import SILENT_SECONDS, LagMeter
from worker.kafka.ledger import Ledger
from worker.kafka.paused_partitions import PausedPartitions
from worker.kafka.starting_positions import starting_positions
from worker.kafka.topic_identity import TopicIdentity

_RebalanceCallback = Callable[[Consumer, list[TopicPartition]], None]


class StopSignal:
    """Tells the consumer thread to end (`requested`), and how long it may wait for started batches on a revocation."""

    def __init__(self, revoke_timeout: float) -> None:
        """`revoke_timeout` is in seconds."""
        self.requested = threading.Event()
        self.revoke_timeout = revoke_timeout


class ConsumerClient:
    """A librdkafka consumer and what ends with it. Once abandoned, its callbacks are ignored.

    `is_member`: whether it is a member of the group, with or without partitions. `expulsion`: since when the group has
    refused its transactions, as the event loop reports.
    """

    def __init__(
        self,
        options: ConsumerOptions,
        topic: TopicIdentity,
        ledger: Ledger,
        stop: StopSignal,
        on_assignment: Callable[[set[TP]], None],
    ) -> None:
        """Create the client; `join` makes it a member. `on_assignment` gets all owned partitions after each change."""
        self._topic = topic
        self._ledger = ledger
        self._stop = stop
        self._on_assignment = on_assignment
        self._is_abandoned = False
        self.is_member = False
        self.expulsion = ExpulsionTimer(options.expulsion_limit)
        callbacks = {"on_commit": self._on_commit, "error_cb": on_client_error}
        self.consumer = Consumer({**options.client_config, **callbacks}, logger=CLIENT_LOG)
        self.paused = PausedPartitions(self.consumer)
        self.lag = LagMeter(self.consumer, ledger, options.stall_limit)
        self.commits: Commits = (
            TransactionCommits(self.consumer, ledger)
            if options.commit_interval is None
            else ConsumerCommits(self.consumer, ledger, options.commit_interval, longest_retry(options.client_config))
        )

    def join(self) -> None:
        """Subscribe to the topic; the group then assigns partitions inside `poll`."""
        assign, revoke, lost = map(self._unless_abandoned, (self._on_assign, self._on_revoke, self._on_lost))
        self.consumer.subscribe([self._topic.name], on_assign=assign, on_revoke=revoke, on_lost=lost)

    def close(self) -> None:
        """Leave the group, which revokes the partitions in a callback."""
        if self._ledger.owned():
            self.consumer.close()
        else:
            leave_group(self.consumer)

    def abandon(self) -> None:
        """Drop the partitions that it believes to own. It ends in its own time, or never."""
        if owned := self._ledger.owned():
            self._on_lost(self.consumer, [TopicPartition(*tp) for tp in owned])
        self._is_abandoned = True
        name = "kafka-consumer-abandoned"
        threading.Thread(target=close_abandoned, args=(self.consumer,), name=name, daemon=True).start()

    def is_disconnected(self, now: float) -> bool:
        """Whether it has lost its group or the brokers: it owns nothing, or its commits get no answer."""
        silence = self.lag.silence(now)
        if self._ledger.owned():
            return self.commits.seconds_unanswered(silence) > SILENT_SECONDS
        return not self.is_member or silence > SILENT_SECONDS

    def is_expelled(self, now: float) -> bool:
        """Whether it believes it owns partitions, but the group has refused its transactions for too long."""
        return self.expulsion.is_too_long(now) and bool(self._ledger.owned())

    def _unless_abandoned(self, callback: _RebalanceCallback) -> _RebalanceCallback:
        def call(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if not self._is_abandoned:
                callback(consumer, partitions)

        return call

    def _on_commit(self, error: KafkaError | None, positions: list[TopicPartition]) -> None:
        # An abandoned client may still get commit results, for partitions that it no longer owns.
        if not self._is_abandoned:
            self.commits.on_result(error, positions)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take over partitions (inside `poll`), each at its committed offset."""
        # First, as reading the committed offsets may take long, and transactions of other partitions need it.
        self.commits.on_rebalance()
        self.expulsion.reset()
        positions = starting_positions(consumer, partitions, self._topic, self._ledger, self._stop.requested)
        consumer.incremental_assign(positions)
        self.lag.begin(positions)
        self.is_member = True
        self._ledger.assign(tps_of(positions), {tp_of(each): each.offset for each in positions if each.offset >= 0})
        owned = self._ledger.owned()
        events.PartitionsAssigned(
            {each.partition: each.offset if each.offset >= 0 else None for each in positions}, len(owned)
        ).emit()
        self._on_assignment(owned)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Handle a revocation (inside `poll` or `close`): wait for started batches, commit, and drop the partitions."""
        # A failed assignment has not added the partitions.
        tps = tps_of(partitions) & self._ledger.owned()
        self.commits.on_rebalance()
        self.expulsion.reset()
        self._ledger.close(tps)
        idle = self._ledger.wait_idle(tps, self._stop.revoke_timeout)
        drained = self.commits.commit_final(tps) and idle
        self._remove(tps)
        events.PartitionsRevoked(sorted(tp.partition for tp in tps), len(self._ledger.owned()), drained).emit()

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Handle lost partitions (inside `poll`), which others already own: drop everything, commit nothing."""
        tps = tps_of(partitions) & self._ledger.owned()
        self.expulsion.reset()
        self._ledger.close(tps)
        self._remove(tps)
        self.is_member = False
        events.PartitionsLost(sorted(tp.partition for tp in tps), len(self._ledger.owned())).emit()

    def _remove(self, tps: set[TP]) -> None:
        self._ledger.remove(tps)
        self.lag.forget(tps)
        self._on_assignment(self._ledger.owned())
