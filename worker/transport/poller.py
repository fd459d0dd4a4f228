"""The thread that owns the librdkafka consumer: it polls, commits, and answers rebalances.

librdkafka delivers assignments, revocations and commit results inside `poll`, on the thread that polls. So this thread
polls from the start, all the time, and commits from inside the revocation: a commit handed to another thread would wait
for this one, which waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from faust.types import TP

from runtime import events
from runtime.logs import CLIENT_LOG
from schemas.errors import DependencyError
from worker.transport.batch import RecordBatch
from worker.transport.commits import Commits, ConsumerCommits, TransactionCommits, longest_retry, tp_of, tps_of
from worker.transport.consumer_errors import CorruptBatchError, check, is_corrupt, on_client_error
from worker.transport.group_refusal import GroupRefusal
from worker.transport.handoff import Handoff
from worker.transport.lag import SILENT_SECONDS, LagMeter
from worker.transport.ledger import Ledger
from worker.transport.options import ConsumerOptions
from worker.transport.pauses import Pauses
from worker.transport.solitude import Expulsion, Solitude, give_up, leave
from worker.transport.topic_identity import TopicIdentity

_POLL_SECONDS: Final = 0.1
_FULL_WAIT_SECONDS: Final = 0.2
_PAUSE_AFTER_SECONDS: Final = 5.0
"""Pausing throws away what librdkafka has fetched ahead, so it comes only after this long without room."""
_LAG_INTERVAL_SECONDS: Final = 1.0
_DOUBT_SECONDS: Final = 2.0
"""A broker is asked something every second: one that has not answered for so long may take no commits either."""
_CALL_SECONDS: Final = 10.0
_COMMITTED_SECONDS: Final = 60.0
_LAST_COMMIT_SECONDS: Final = 10.0


_Rebalanced = Callable[[Consumer, list[TopicPartition]], None]


class Poller(threading.Thread):
    """Reads batches into a `Handoff` and commits what the `Ledger` allows.

    `last_turn` is when it last came round (monotonic seconds); `member` says if the group counts this worker as one of
    it, with partitions or without, `refusal` why it does not let it in, `expulsion` since when it refuses this worker's
    transactions, `identity` which topic is read (once subscribed), and `paused` why fetching is paused (None: it is
    not). `on_assignment` gets the whole set of owned partitions after each change; `on_failure` gets the error that
    ended the thread. Both are called on this thread.
    """

    def __init__(
        self,
        options: ConsumerOptions,
        ledger: Ledger,
        handoff: Handoff,
        on_assignment: Callable[[set[TP]], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="kafka-consumer", daemon=True)
        self._options = options
        self._ledger = ledger
        self._handoff = handoff
        self._batch_records = options.batch_records
        self._revoke_timeout = options.revoke_timeout
        self._on_assignment = on_assignment
        self._on_failure = on_failure
        self._topic = ""
        self._stopping = threading.Event()
        self._next_lag = 0.0
        self.last_turn = time.monotonic()
        self.paused: events.PauseReason | None = None
        self._solitude = Solitude(options.solitude_limit, self.last_turn)
        self.expulsion = Expulsion(options.expulsion_limit)
        names = (str(options.client_config.get(name)) for name in ("group.id", "partition.assignment.strategy"))
        self.refusal = GroupRefusal(options.admin_config, *names)
        self._begin()

    def _begin(self) -> None:
        """Make a client, and all that holds on to it."""
        consumer: Consumer

        def on_commit(error: KafkaError | None, positions: list[TopicPartition]) -> None:
            # One that was given up may still hear of commits: its partitions are others' by now.
            if consumer is self._consumer and isinstance(self.commits, ConsumerCommits):
                self.commits.heard(error, positions)

        options = self._options
        callbacks = {"on_commit": on_commit, "error_cb": on_client_error}
        self._consumer = consumer = Consumer({**options.client_config, **callbacks}, logger=CLIENT_LOG)
        self._pauses = Pauses(consumer)
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

    def wait_no_more(self) -> None:
        """From now on, let partitions go without waiting for what was started on them: that wait is over."""
        self._revoke_timeout = 0.0

    def run(self) -> None:
        """Poll until stopped. An error ends the thread: it is told to `on_failure`, and nothing more is committed."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the process must hear of it
            self.wait_no_more()
            self._on_failure(error)
        finally:
            self._leave()

    def _work(self) -> None:
        """Poll until stopped, or until a batch is corrupt: what was read before it is still scored and committed.

        Whoever goes on behind that batch would pass it over.
        """
        self._join()
        corrupt: CorruptBatchError | None = None
        try:
            while not self._stopping.is_set():
                self._turn()
        except CorruptBatchError as error:
            corrupt = error
            self._ledger.wait_idle(self._ledger.owned(), self._options.drain_timeout)
        self._store_the_rest()
        if corrupt is not None:
            raise corrupt

    def _join(self) -> None:
        assign, revoke, lost = map(self._unless_given_up, (self._on_assign, self._on_revoke, self._on_lost))
        self._consumer.subscribe([self._topic], on_assign=assign, on_revoke=revoke, on_lost=lost)

    def _unless_given_up(self, hear: _Rebalanced) -> _Rebalanced:
        """Return what hears of the present client alone: one that was given up may still call back as it closes."""

        def hear_of(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            if consumer is self._consumer:
                hear(consumer, partitions)

        return hear_of

    def _replace(self) -> None:
        """Give up a client, and what it believes to own, for another. The old one ends by itself, or never."""
        events.ConsumerReplaced().emit()
        if owned := self._ledger.owned():
            self._on_lost(self._consumer, [TopicPartition(*tp) for tp in owned])
        threading.Thread(target=give_up, args=(self._consumer,), name="kafka-consumer-given-up", daemon=True).start()
        self._begin()
        self._join()

    def _store_the_rest(self) -> None:
        """Commit what is done as long as this is a member: while the group rebalances, the broker refuses.

        To let the rebalance come to its end takes polls, and so does the answer to a commit that is in flight, which
        must not arrive behind the last one. What they bring is read again by the partitions' next owner.
        """
        deadline = time.monotonic() + _LAST_COMMIT_SECONDS
        while (
            self.commits.is_in_flight or not self.commits.leave(self._ledger.owned())
        ) and time.monotonic() < deadline:
            self._consumer.poll(_POLL_SECONDS)

    def _leave(self) -> None:
        """Leave the group and close the client, which calls back for what is still owned."""
        if self._ledger.owned():
            self._consumer.close()
        else:
            leave(self._consumer)

    def _turn(self) -> None:
        """Do what is due, then read what is there."""
        self._keep_up()
        if self._pauses:
            self._pauses.resume()
        self.lag.cure_stalls()
        if self._handoff.is_full():
            self._hold_back()
        elif self._must_wait_for_commits():
            self._pause_until(lambda: not self.commits.are_overdue(), "commits")
        else:
            self._read()

    def _keep_up(self) -> None:
        """Do what is due whether records are read or not, and show that the thread comes round."""
        now = self.last_turn = time.monotonic()
        self.commits.turn()
        self._measure_in_time(now)
        if self._solitude.is_too_long(now, self._is_alone(now)) or self._is_expelled(now):
            self._replace()

    def _must_wait_for_commits(self) -> bool:
        """Say whether commits are overdue; their answers come in a poll, ahead of records."""
        if self.commits.are_overdue() and (message := self._consumer.poll(0)) is not None:
            self._hand_off([message])
        return self.commits.are_overdue()

    def _is_alone(self, now: float) -> bool:
        """Say whether this client has lost its group or the brokers: it owns nothing, or hears of no commit."""
        if self._ledger.owned():
            return self.commits.are_unanswered(SILENT_SECONDS)
        answered = self.lag.answered_at
        return not self.member or answered is None or now - answered > SILENT_SECONDS

    def _is_expelled(self, now: float) -> bool:
        """Say whether this client believes in partitions, and its group has refused its transactions for too long."""
        return self.expulsion.is_too_long(now) and bool(self._ledger.owned())

    def _read(self) -> None:
        """Take the first record as soon as it comes, and all that is already there with it.

        `consume` alone would hold a lone record back until its timeout.
        """
        first = self._consumer.poll(_POLL_SECONDS)
        if first is None:
            self.lag.ran_dry()
            return
        messages = [first, *self._consumer.consume(self._batch_records - 1, 0)] if self._batch_records > 1 else [first]
        if len(messages) < self._batch_records:
            self.lag.ran_dry()
        self._hand_off(messages)

    def _hand_off(self, messages: Sequence[Message]) -> None:
        """Sort messages by partition and hand each partition's run on as one batch.

        An event in place of a record is heard after the records before it; what follows a corrupt batch is left alone.
        """
        runs: dict[int, list[Message]] = {}
        heard: list[tuple[Message, KafkaError]] = []
        for message in messages:
            partition = message.partition()
            error = message.error()
            if error is None:
                run = runs.get(partition)  # type: ignore[arg-type]  # a consumed message has a partition
                if run is None:
                    runs[partition] = [message]  # type: ignore[index]
                else:
                    run.append(message)
            else:
                heard.append((message, error))
                if is_corrupt(error):
                    break
        for partition, run in runs.items():
            tp = TP(self._topic, partition)
            lease = self._ledger.lease(tp)
            if lease is not None:
                batch = RecordBatch(tp, run, lease)
                self._ledger.enter(batch)
                self._handoff.put(batch)
        for message, error in heard:
            self._hear(message, error)

    def _hear(self, message: Message, error: KafkaError) -> None:
        """Take an event that comes in place of a record."""
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's public name for it
            self._ledger.reached_end(TP(self._topic, int(message.partition() or 0)), int(message.offset() or 0))
        elif error.code() == KafkaError.INCONSISTENT_GROUP_PROTOCOL:
            self.refusal.note()
        else:
            check(self._consumer, message, error)

    def _hold_back(self) -> None:
        """Wait for room; when there is none for long, pause fetching."""
        deadline = time.monotonic() + _PAUSE_AFTER_SECONDS
        while time.monotonic() < deadline and not self._stopping.is_set():
            if self._handoff.wait_for_room(_FULL_WAIT_SECONDS):
                return
            self._keep_up()
        self._pause_until(lambda: self._handoff.wait_for_room(0), "output")

    def _pause_until(self, is_over: Callable[[], bool], reason: events.PauseReason) -> None:
        """Pause fetching, and keep polling so as to stay in the group and hear of commits."""
        self._pauses.pause()
        self.paused = reason
        events.ConsumptionPaused(reason, len(self._pauses)).emit()
        while not (self._stopping.is_set() or is_over()):
            message = self._consumer.poll(_FULL_WAIT_SECONDS)
            if message is not None:
                self._hand_off([message])
                # It is from a partition that came while the others were paused.
                self._pauses.pause()
            self._keep_up()
        self._pauses.resume()
        self.paused = None
        events.ConsumptionResumed(reason, len(self._ledger.owned())).emit()

    def _measure_in_time(self, now: float) -> None:
        """Measure the lag, and see that the topic is still the same, where a second has passed."""
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
        """Take over partitions (inside `poll`), each where its group left off."""
        # First, as the committed offsets may be long in coming, and rounds of other partitions need it meanwhile.
        self.commits.rebalanced()
        self.expulsion.end()
        positions = self._starting_positions(partitions)
        consumer.incremental_assign(positions)
        self.lag.begin(positions)
        self.member = True
        self._ledger.grant(tps_of(partitions), {tp_of(each): each.offset for each in positions if each.offset >= 0})
        owned = self._ledger.owned()
        events.PartitionsAssigned(
            {each.partition: each.offset if each.offset >= 0 else None for each in positions}, len(owned)
        ).emit()
        self._on_assignment(owned)

    def _starting_positions(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Return committed offsets; a partition that the group has never committed begins at its first record.

        So does one whose offset was committed for an earlier topic of this name. The client itself resets nothing: a
        committed offset whose record is gone means loss, and must be told.
        """
        if not partitions:
            return []
        deadline = time.monotonic() + _COMMITTED_SECONDS
        while True:
            positions, error = self._committed(partitions)
            if error is None:
                break
            if time.monotonic() > deadline:
                raise DependencyError(f"cannot learn the committed offsets: {error}")
            self._stopping.wait(_POLL_SECONDS)
        self._ledger.note = self.identity.note
        foreign = [position for position in positions if self.identity.is_foreign(position.metadata)]
        if foreign:
            events.TopicRecreated(self._topic, len(foreign)).emit()
        for position in positions:
            if position.offset < 0 or position in foreign:
                position.offset = OFFSET_BEGINNING
        return positions

    def _committed(self, partitions: list[TopicPartition]) -> tuple[list[TopicPartition], str | None]:
        """Ask the broker; an offset that could not be told, as its error says, looks like one never committed.

        Called inside `poll`: the consumer's own `list_topics`, as `poll` and `consume`, would there take away what its
        next callback within the same `poll` needs, and the client aborts the process.
        """
        try:
            positions = self._consumer.committed(partitions, timeout=_CALL_SECONDS)
            self.identity.learn(reading=bool(self._ledger.owned()))
        except KafkaException as failure:
            return [], failure.args[0].name()
        except TimeoutError:
            return [], "_TIMED_OUT"
        return positions, next((position.error.name() for position in positions if position.error), None)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Give partitions back (inside `poll` or `close`): finish what was started, commit it, let go."""
        # An assignment that failed has granted nothing.
        tps = tps_of(partitions) & self._ledger.owned()
        self.commits.rebalanced()
        self.expulsion.end()
        self._ledger.close(tps)
        idle = self._ledger.wait_idle(tps, self._revoke_timeout)
        drained = self.commits.leave(tps) and idle
        self._let_go(tps)
        events.PartitionsRevoked(sorted(tp.partition for tp in tps), len(self._ledger.owned()), drained).emit()

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Hear that partitions already belong to others (inside `poll`): drop everything, commit nothing."""
        tps = tps_of(partitions) & self._ledger.owned()
        self.expulsion.end()
        self._ledger.close(tps)
        self._let_go(tps)
        self.member = False
        events.PartitionsLost(sorted(tp.partition for tp in tps), len(self._ledger.owned())).emit()

    def _let_go(self, tps: set[TP]) -> None:
        self._ledger.end(tps)
        self.lag.forget(tps)
        self._on_assignment(self._ledger.owned())
