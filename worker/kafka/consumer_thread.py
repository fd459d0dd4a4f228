"""The thread that owns the librdkafka consumer: it polls, reads and commits.

It polls all the time, as the client handles rebalances and reports commit results inside `poll` alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaError, Message
from faust.types import TP

from runtime import events
from worker.kafka.batch import RecordBatch, by_partition
from worker.kafka.batch_queue import BatchQueue
from worker.kafka.consumer_client import ConsumerClient, StopSignal
from worker.kafka.consumer_errors import CorruptBatchError, check
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_recovery import DisconnectionTimer
from worker.kafka.group_refusal import GroupRefusal
from worker.kafka.ledger import Ledger
from worker.kafka.topic_identity import TopicIdentity

_POLL_SECONDS: Final = 0.1
_FULL_WAIT_SECONDS: Final = 0.2
_PAUSE_AFTER_SECONDS: Final = 5.0
"""Pausing discards librdkafka's prefetched records, so it comes only after this long with a full queue."""
_CHECK_INTERVAL_SECONDS: Final = 1.0
_UNCERTAIN_AFTER_SECONDS: Final = 2.0
"""A broker is queried every second; one that has not answered for this long may not take commits either."""
_LAST_COMMIT_SECONDS: Final = 10.0


class ConsumerThread(threading.Thread):
    """Reads batches into a `BatchQueue` and commits what the `Ledger` allows.

    `client` is the current client, `last_active_at` when it last polled or waited for the queue (monotonic seconds),
    `refusal` why the group refuses it, `identity` which topic is read, and `paused` why fetching is paused (None if it
    is not). `on_assignment` gets all owned partitions after each change; `on_failure` gets the error that ended the
    thread. Both are called on this thread.
    """

    def __init__(
        self,
        options: ConsumerOptions,
        topic: str,
        ledger: Ledger,
        queue: BatchQueue,
        on_assignment: Callable[[set[TP]], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Create the first client; it joins the group when the thread starts."""
        super().__init__(name="kafka-consumer", daemon=True)
        self._options = options
        self._topic = topic
        self._ledger = ledger
        self._queue = queue
        self._batch_records = options.batch_records
        self._on_assignment = on_assignment
        self._on_failure = on_failure
        self._stop_signal = StopSignal(options.revoke_timeout)
        self._stopping = self._stop_signal.requested
        self._next_check = 0.0
        self.last_active_at = time.monotonic()
        self.paused: events.PauseReason | None = None
        self._disconnection = DisconnectionTimer(options.disconnected_limit, self.last_active_at)
        names = (str(options.client_config.get(name)) for name in ("group.id", "partition.assignment.strategy"))
        self.refusal = GroupRefusal(options.admin_config, *names)
        self.identity = TopicIdentity(options.admin_config, topic)
        self.client = self._new_client()

    def _new_client(self) -> ConsumerClient:
        return ConsumerClient(self._options, self.identity, self._ledger, self._stop_signal, self._on_assignment)

    def stop(self) -> None:
        """Ask the thread to commit, leave the group and end; `join` waits for it."""
        self._stopping.set()

    def stop_waiting(self) -> None:
        """From now on, do not wait for started batches when partitions are revoked."""
        self._stop_signal.revoke_timeout = 0.0

    def run(self) -> None:
        """Poll until stopped. An error ends the thread: it goes to `on_failure`, and nothing more is committed."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # any error must end the process
            self.stop_waiting()
            self._on_failure(error)
        finally:
            self.client.close()

    def _work(self) -> None:
        """Poll until stopped, or until a batch is corrupt: earlier records are still scored and committed.

        Reading on after a corrupt batch would skip it.
        """
        self.client.join()
        corrupt: CorruptBatchError | None = None
        try:
            while not self._stopping.is_set():
                self._iterate()
        except CorruptBatchError as error:
            corrupt = error
            self._ledger.wait_idle(self._ledger.owned(), self._options.drain_timeout)
        self._commit_finally()
        if corrupt is not None:
            raise corrupt

    def _replace_client(self) -> None:
        events.ConsumerReplaced().emit()
        self.client.abandon()
        self.client = self._new_client()
        self.client.join()

    def _commit_finally(self) -> None:
        """Commit the final offsets, retrying while the group rebalances, as the broker refuses commits then.

        Polling lets the rebalance finish, and delivers the result of a commit in flight, which must not arrive after
        the last one. Records polled here are read again by the partitions' next owners.
        """
        commits, deadline = self.client.commits, time.monotonic() + _LAST_COMMIT_SECONDS
        while (commits.is_in_flight or not commits.commit_final(self._ledger.owned())) and time.monotonic() < deadline:
            self.client.consumer.poll(_POLL_SECONDS)

    def _iterate(self) -> None:
        """Do what is due, then read."""
        self._do_due_work()
        if self.client.paused:
            self.client.paused.resume()
        self.client.lag.restart_stalled()
        if self._queue.is_full():
            self._wait_for_queue()
        elif self._must_wait_for_commits():
            self._pause_until(lambda: not self.client.commits.are_overdue(), "commits")
        else:
            self._read()

    def _do_due_work(self) -> None:
        """Do what is due whether records are read or not, and show that the thread is alive."""
        now = self.last_active_at = time.monotonic()
        self.client.commits.do_due_work()
        self._check_in_time(now)
        if self._disconnection.is_too_long(now, self.client.is_disconnected(now)) or self.client.is_expelled(now):
            self._replace_client()

    def _must_wait_for_commits(self) -> bool:
        """Whether commits are overdue; a poll delivers their results ahead of records."""
        commits = self.client.commits
        if commits.are_overdue() and (message := self.client.consumer.poll(0)) is not None:
            self._enqueue([message])
        return commits.are_overdue()

    def _read(self) -> None:
        """Read the first record as soon as it arrives, and all that are already fetched.

        `consume` alone would delay a single record until its timeout.
        """
        consumer, lag = self.client.consumer, self.client.lag
        first = consumer.poll(_POLL_SECONDS)
        if first is None:
            lag.ran_dry()
            return
        messages = [first, *consumer.consume(self._batch_records - 1, 0)] if self._batch_records > 1 else [first]
        if len(messages) < self._batch_records:
            lag.ran_dry()
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
            self.refusal.record()
        else:
            check(self.client.consumer, message, error)

    def _wait_for_queue(self) -> None:
        """Wait until the queue accepts more; if that takes long, pause fetching."""
        deadline = time.monotonic() + _PAUSE_AFTER_SECONDS
        while time.monotonic() < deadline and not self._stopping.is_set():
            if self._queue.wait_for_room(_FULL_WAIT_SECONDS):
                return
            self._do_due_work()
        self._pause_until(lambda: self._queue.wait_for_room(0), "output")

    def _pause_until(self, is_over: Callable[[], bool], reason: events.PauseReason) -> None:
        """Pause fetching, and keep polling to stay in the group and get commit results."""
        self.client.paused.pause()
        self.paused = reason
        events.ConsumptionPaused(reason, len(self.client.paused)).emit()
        while not (self._stopping.is_set() or is_over()):
            message = self.client.consumer.poll(_FULL_WAIT_SECONDS)
            if message is not None:
                self._enqueue([message])
                # It is from a partition that was assigned while the others were paused.
                self.client.paused.pause()
            self._do_due_work()
        self.client.paused.resume()
        self.paused = None
        events.ConsumptionResumed(reason, len(self._ledger.owned())).emit()

    def _check_in_time(self, now: float) -> None:
        """Measure the lag and check the topic's identity, once a second."""
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_INTERVAL_SECONDS
        # As it was before this question: a callback may have held this thread up until the network was back.
        answered_at = self.client.lag.answered_at
        self.client.lag.measure(self._topic, is_paused=self.paused == "commits")
        if answered_at is not None and time.monotonic() - answered_at > _UNCERTAIN_AFTER_SECONDS:
            self.client.commits.assume_failing_since(answered_at)
        self.refusal.update()
        if self.client.is_member:
            self.identity.update(reading=bool(self._ledger.owned()))
            self._ledger.commit_metadata = self.identity.commit_metadata
