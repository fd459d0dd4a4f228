"""The thread that owns the librdkafka consumer: it polls, commits, and handles rebalances.

librdkafka calls back for assignments, revocations and commit results inside `poll`, on the polling thread. So this
thread polls all the time, and commits inside the revocation callback: a commit in another thread would deadlock with
it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from faust.types import TP

from runtime import events
from runtime.logs import CLIENT_LOG
from worker.kafka.batch import RecordBatch, by_partition
from worker.kafka.batch_queue import BatchQueue
from worker.kafka.commits import Commits, ConsumerCommits, TransactionCommits, longest_retry, tp_of, tps_of
from worker.kafka.consumer_errors import CorruptBatchError, check, on_client_error
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_recovery import DisconnectionTimer, Expulsion, give_up, leave
from worker.kafka.group_refusal import GroupRefusal
from worker.kafka.lag import SILENT_SECONDS, LagMeter
from worker.kafka.ledger import Ledger
from worker.kafka.paused_partitions import PausedPartitions
from worker.kafka.starting_positions import starting_positions
from worker.kafka.topic_identity import TopicIdentity

_POLL_SECONDS: Final = 0.1
_FULL_WAIT_SECONDS: Final = 0.2
_PAUSE_AFTER_SECONDS: Final = 5.0
"""Pausing discards librdkafka's prefetched records, so it comes only after this long with a full queue."""
_LAG_INTERVAL_SECONDS: Final = 1.0
_DOUBT_SECONDS: Final = 2.0
"""A broker is queried every second; one that has not answered for this long may not take commits either."""
_LAST_COMMIT_SECONDS: Final = 10.0


_Rebalanced = Callable[[Consumer, list[TopicPartition]], None]


class ConsumerThread(threading.Thread):
    """Reads batches into a `BatchQueue` and commits what the `Ledger` allows.

    `last_turn` is when it last polled (monotonic seconds); `member` whether it is a member of the group, with or
    without partitions, `refusal` why the group refuses it, `expulsion` since when the group refuses its transactions,
    `identity` which topic is read (once subscribed), and `paused` why fetching is paused (None if it is not).
    `on_assignment` gets all owned partitions after each change; `on_failure` gets the error that ended the thread. Both
    are called on this thread.
    """

    def __init__(
        self,
        options: ConsumerOptions,
        ledger: Ledger,
        queue: BatchQueue,
        on_assignment: Callable[[set[TP]], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="kafka-consumer", daemon=True)
        self._options = options
        self._ledger = ledger
        self._queue = queue
        self._batch_records = options.batch_records
        self._revoke_timeout = options.revoke_timeout
        self._on_assignment = on_assignment
        self._on_failure = on_failure
        self._topic = ""
        self._stopping = threading.Event()
        self._next_lag = 0.0
        self.last_turn = time.monotonic()
        self.paused: events.PauseReason | None = None
        self._disconnection = DisconnectionTimer(options.disconnected_limit, self.last_turn)
        self.expulsion = Expulsion(options.expulsion_limit)
        names = (str(options.client_config.get(name)) for name in ("group.id", "partition.assignment.strategy"))
        self.refusal = GroupRefusal(options.admin_config, *names)
        self._begin()

    def _begin(self) -> None:
        """Create a client and the objects that use it."""
        consumer: Consumer

        def on_commit(error: KafkaError | None, positions: list[TopicPartition]) -> None:
            # An abandoned client may still get commit results, for partitions that it no longer owns.
            if consumer is self._consumer and isinstance(self.commits, ConsumerCommits):
                self.commits.heard(error, positions)

        options = self._options
        callbacks = {"on_commit": on_commit, "error_cb": on_client_error}
        self._consumer = consumer = Consumer({**options.client_config, **callbacks}, logger=CLIENT_LOG)
        self._paused_partitions = PausedPartitions(consumer)
        self.commits: Commits = (
            TransactionCommits(consumer, self._ledger)
            if options.commit_interval is None
            else ConsumerCommits(consumer, self._ledger, options.commit_interval, longest_retry(options.client_config))
        )
        self.lag = LagMeter(consumer, self._ledger, options.stall_limit)
        self.member = False

    def subscribe(self, topic: str) -> None:
        """Join the group for this topic and start the thread; called once."""
        self._topic = topic
        self.identity = TopicIdentity(self._options.admin_config, topic)
        self.start()

    def stop(self) -> None:
        """Ask the thread to commit, leave the group and end; `join` waits for it."""
        self._stopping.set()

    def stop_waiting(self) -> None:
        """From now on, do not wait for started batches when partitions are revoked."""
        self._revoke_timeout = 0.0

    def run(self) -> None:
        """Poll until stopped. An error ends the thread: it goes to `on_failure`, and nothing more is committed."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # any error must end the process
            self.stop_waiting()
            self._on_failure(error)
        finally:
            self._leave()

    def _work(self) -> None:
        """Poll until stopped, or until a batch is corrupt: earlier records are still scored and committed.

        Reading on after a corrupt batch would skip it.
        """
        self._join()
        corrupt: CorruptBatchError | None = None
        try:
            while not self._stopping.is_set():
                self._turn()
        except CorruptBatchError as error:
            corrupt = error
            self._ledger.wait_idle(self._ledger.owned(), self._options.drain_timeout)
        self._commit_finally()
        if corrupt is not None:
            raise corrupt

    def _join(self) -> None:
        assign, revoke, lost = map(self._if_current, (self._on_assign, self._on_revoke, self._on_lost))
        self._consumer.subscribe([self._topic], on_assign=assign, on_revoke=revoke, on_lost=lost)

    def _if_current(self, hear: _Rebalanced) -> _Rebalanced:
        """Wrap a callback to ignore clients other than the current one: an abandoned client may still call back."""

        def hear_of(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if consumer is self._consumer:
                hear(consumer, partitions)

        return hear_of

    def _replace(self) -> None:
        """Replace the client, and drop the partitions it believes to own. The old one ends in its own time or never."""
        events.ConsumerReplaced().emit()
        if owned := self._ledger.owned():
            self._on_lost(self._consumer, [TopicPartition(*tp) for tp in owned])
        threading.Thread(target=give_up, args=(self._consumer,), name="kafka-consumer-given-up", daemon=True).start()
        self._begin()
        self._join()

    def _commit_finally(self) -> None:
        """Commit the final offsets, retrying while the group rebalances, as the broker refuses commits then.

        Polling lets the rebalance finish, and delivers the result of a commit in flight, which must not arrive after
        the last one. Records polled here are read again by the partitions' next owners.
        """
        deadline = time.monotonic() + _LAST_COMMIT_SECONDS
        while (
            self.commits.is_in_flight or not self.commits.leave(self._ledger.owned())
        ) and time.monotonic() < deadline:
            self._consumer.poll(_POLL_SECONDS)

    def _leave(self) -> None:
        """Leave the group and close the client, which revokes its partitions in a callback."""
        if self._ledger.owned():
            self._consumer.close()
        else:
            leave(self._consumer)

    def _turn(self) -> None:
        """Do what is due, then read."""
        self._keep_up()
        if self._paused_partitions:
            self._paused_partitions.resume()
        self.lag.restart_stalled()
        if self._queue.is_full():
            self._wait_for_queue()
        elif self._must_wait_for_commits():
            self._pause_until(lambda: not self.commits.are_overdue(), "commits")
        else:
            self._read()

    def _keep_up(self) -> None:
        """Do what is due whether records are read or not, and show that the thread is alive."""
        now = self.last_turn = time.monotonic()
        self.commits.turn()
        self._measure_in_time(now)
        if self._disconnection.is_too_long(now, self._is_disconnected(now)) or self._is_expelled(now):
            self._replace()

    def _must_wait_for_commits(self) -> bool:
        """Whether commits are overdue; a poll delivers their results ahead of records."""
        if self.commits.are_overdue() and (message := self._consumer.poll(0)) is not None:
            self._enqueue([message])
        return self.commits.are_overdue()

    def _is_disconnected(self, now: float) -> bool:
        """Whether this client has lost its group or the brokers: it owns nothing, or its commits get no answer."""
        answered = self.lag.answered_at
        is_silent = answered is None or now - answered > SILENT_SECONDS
        if self._ledger.owned():
            # Without commits of its own, under exactly-once, only its queries show it; a new client repeats nothing.
            is_transactional = self._options.commit_interval is None
            return is_silent if is_transactional else self.commits.are_unanswered(SILENT_SECONDS)
        return not self.member or is_silent

    def _is_expelled(self, now: float) -> bool:
        """Whether this client believes it owns partitions, but the group has refused its transactions for too long."""
        return self.expulsion.is_too_long(now) and bool(self._ledger.owned())

    def _read(self) -> None:
        """Read the first record as soon as it arrives, and all that are already fetched.

        `consume` alone would delay a single record until its timeout.
        """
        first = self._consumer.poll(_POLL_SECONDS)
        if first is None:
            self.lag.ran_dry()
            return
        messages = [first, *self._consumer.consume(self._batch_records - 1, 0)] if self._batch_records > 1 else [first]
        if len(messages) < self._batch_records:
            self.lag.ran_dry()
        self._enqueue(messages)

    def _enqueue(self, messages: Sequence[Message]) -> None:
        """Group messages by partition, and queue each group as one batch.

        Events in place of records are handled after the records before them; what follows a corrupt batch is ignored.
        """
        runs, others = by_partition(messages)
        for partition, run in runs.items():
            tp = TP(self._topic, partition)
            assignment = self._ledger.assignment(tp)
            if assignment is not None:
                batch = RecordBatch(tp, run, assignment)
                self._ledger.add(batch)
                self._queue.put(batch)
        for message, error in others:
            self._on_event(message, error)

    def _on_event(self, message: Message, error: KafkaError) -> None:
        """Handle an event in place of a record."""
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's public name for it
            self._ledger.reached_end(TP(self._topic, int(message.partition() or 0)), int(message.offset() or 0))
        elif error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
            self.refusal.note()
        else:
            check(self._consumer, message, error)

    def _wait_for_queue(self) -> None:
        """Wait until the queue accepts more; if that takes long, pause fetching."""
        deadline = time.monotonic() + _PAUSE_AFTER_SECONDS
        while time.monotonic() < deadline and not self._stopping.is_set():
            if self._queue.wait_for_room(_FULL_WAIT_SECONDS):
                return
            self._keep_up()
        self._pause_until(lambda: self._queue.wait_for_room(0), "output")

    def _pause_until(self, is_over: Callable[[], bool], reason: events.PauseReason) -> None:
        """Pause fetching, and keep polling to stay in the group and get commit results."""
        self._paused_partitions.pause()
        self.paused = reason
        events.ConsumptionPaused(reason, len(self._paused_partitions)).emit()
        while not (self._stopping.is_set() or is_over()):
            message = self._consumer.poll(_FULL_WAIT_SECONDS)
            if message is not None:
                self._enqueue([message])
                # It is from a partition that was assigned while the others were paused.
                self._paused_partitions.pause()
            self._keep_up()
        self._paused_partitions.resume()
        self.paused = None
        events.ConsumptionResumed(reason, len(self._ledger.owned())).emit()

    def _measure_in_time(self, now: float) -> None:
        """Measure the lag and check the topic's identity, once a second."""
        if now >= self._next_lag:
            self._next_lag = now + _LAG_INTERVAL_SECONDS
            # As it was before this question: a callback may have held this thread up until the network was back.
            answered = self.lag.answered_at
            self.lag.measure(self._topic, held=self.paused == "commits")
            if answered is not None and time.monotonic() - answered > _DOUBT_SECONDS:
                self.commits.doubt(answered)
            self.refusal.look()
            if self.member:
                self.identity.look(reading=bool(self._ledger.owned()))
                self._ledger.note = self.identity.note

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take over partitions (inside `poll`), each at its committed offset."""
        # First, as reading the committed offsets may take long, and transactions of other partitions need it.
        self.commits.rebalanced()
        self.expulsion.end()
        positions = starting_positions(consumer, partitions, self.identity, self._ledger, self._stopping)
        consumer.incremental_assign(positions)
        self.lag.begin(positions)
        self.member = True
        self._ledger.assign(tps_of(partitions), {tp_of(each): each.offset for each in positions if each.offset >= 0})
        owned = self._ledger.owned()
        events.PartitionsAssigned(
            {each.partition: each.offset if each.offset >= 0 else None for each in positions}, len(owned)
        ).emit()
        self._on_assignment(owned)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Handle a revocation (inside `poll` or `close`): wait for started batches, commit, and drop the partitions."""
        # A failed assignment has not added the partitions.
        tps = tps_of(partitions) & self._ledger.owned()
        self.commits.rebalanced()
        self.expulsion.end()
        self._ledger.close(tps)
        idle = self._ledger.wait_idle(tps, self._revoke_timeout)
        drained = self.commits.leave(tps) and idle
        self._let_go(tps)
        events.PartitionsRevoked(sorted(tp.partition for tp in tps), len(self._ledger.owned()), drained).emit()

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Handle lost partitions (inside `poll`), which others already own: drop everything, commit nothing."""
        tps = tps_of(partitions) & self._ledger.owned()
        self.expulsion.end()
        self._ledger.close(tps)
        self._let_go(tps)
        self.member = False
        events.PartitionsLost(sorted(tp.partition for tp in tps), len(self._ledger.owned())).emit()

    def _let_go(self, tps: set[TP]) -> None:
        self._ledger.remove(tps)
        self.lag.forget(tps)
        self._on_assignment(self._ledger.owned())
