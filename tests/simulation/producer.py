"""The fake `confluent_kafka.Producer`: queues, idempotent batches, delivery reports, and client-side state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from tests.simulation.clients import Client, error_of, failure
from tests.simulation.logs import Entry, FakeMessage
from tests.simulation.network import OUTPUT, TRANSACTION, Request

_Place = tuple[str, int]
_FATAL_TO_DELIVER: Final = frozenset({KafkaError.INVALID_PRODUCER_EPOCH})
_FATAL: Final = _FATAL_TO_DELIVER | {KafkaError.INVALID_TXN_STATE}
_RETRY_SECONDS: Final = 0.05
_BATCH: Final = 5


class _Record:
    __slots__ = ("deadline", "headers", "key", "on_delivery", "value")

    def __init__(self, key: bytes | None, value: bytes | None, headers: Any, on_delivery: Any, deadline: float) -> None:
        self.key, self.value, self.headers, self.on_delivery = key, value, headers, on_delivery
        self.deadline = deadline


class _Queue:
    """The records that wait for one partition, and the batch in flight."""

    __slots__ = ("batch", "origin", "request", "sequence", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Record] = deque()
        self.batch: list[_Record] = []
        self.origin = 0, -1
        """The producer id and epoch of the batch."""
        self.request: Request | None = None
        self.sequence = 0

    def take_batch(self) -> list[_Record]:
        """Remove and return the batch in flight; its response is ignored."""
        if self.request is not None:
            self.request.give_up()
        batch, self.batch, self.request = self.batch, [], None
        return batch


class QueueingProducer(Client):
    """Sends the records of a partition in order, each batch once, whatever the network loses.

    `epoch` is -1 without transactions. `failure` is why nothing more can be sent: a fatal error, or one that requires
    the abort of the transaction; then `needs_epoch` is whether this leaves a gap in the sequence numbers. `failed` is
    the number of records of the transaction that were not delivered.
    """

    def __init__(self, config: Mapping[str, Any], **options: object) -> None:
        super().__init__(config, **options)
        name = config.get("transactional.id")
        self.name: str | None = None if name is None else str(name)
        self.producer = 0 if self.name else self.cluster.transactions.new_producer()
        self.epoch = -1
        self.failure: KafkaError | None = None
        self.needs_epoch = False
        self.failed = 0
        self.takes_records = self.name is None
        self.registered: set[_Place] = set()
        """The partitions of the open transaction."""
        self._queues: dict[_Place, _Queue] = {}
        self._reports: deque[Callable[[], object]] = deque()
        self._unsent = 0
        self._registering: Request | None = None
        self._timeout = float(config.get("message.timeout.ms", 10_000)) / 1000
        self._looks = False

    def __len__(self) -> int:
        return self._unsent + len(self._reports)

    def produce(  # the client's signature
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        on_delivery: Any = None,
        headers: Any = None,
        timestamp: int = 0,  # noqa: ARG002
    ) -> None:
        if self.failure is not None:
            raise failure(KafkaError._FATAL if self.failure.fatal() else KafkaError._STATE)
        if not self.takes_records:
            raise failure(KafkaError._STATE)
        if self._unsent >= int(self.config.get("queue.buffering.max.messages", 1_000)):
            raise BufferError
        tp = topic, self.cluster.topics.partition_of(topic, key) if partition < 0 else partition
        queue = self._queues.get(tp)
        if queue is None:
            queue = self._queues[tp] = _Queue()
        hear = on_delivery or self.config.get("on_delivery")
        queue.waiting.append(_Record(key, value, headers, hear, self.scheduler.now + self._timeout))
        self._unsent += 1
        if not self._looks:
            self._looks = True
            self.process.later(self._timeout, self._expire)
        self.process.later(0.001, lambda: self._send_batch(tp))

    def _send_batch(self, tp: _Place) -> None:
        queue = self._queues[tp]
        if queue.batch or not queue.waiting or self.failure is not None:
            return
        if self.name is not None and tp not in self.registered:
            self._register(tp)
            return
        count = min(len(queue.waiting), 1 + int(self.scheduler.rng.random() * _BATCH))
        queue.batch = [queue.waiting.popleft() for _ in range(count)]
        records = [(each.key, each.value, each.headers) for each in queue.batch]
        sequence, queue.origin = queue.sequence, (self.producer, self.epoch)
        producer, epoch = queue.origin
        queue.request = self.send(
            OUTPUT,
            "produce",
            lambda answer: answer(self.cluster.produce(tp, producer, epoch, sequence, records, self.name)),
            lambda answer: self._delivered(tp, *answer),
        )

    def _register(self, tp: _Place) -> None:
        """Add partitions to the transaction, one after the other."""
        if self._registering is not None:
            return
        name, epoch = str(self.name), self.epoch

        def hear(code: int) -> None:
            self._registering = None
            if code == KafkaError.CONCURRENT_TRANSACTIONS:
                self.process.later(_RETRY_SECONDS, lambda: self._send_batch(tp))
                return
            if code:
                self.fail(code)
            else:
                self.registered.add(tp)
            for each in self._queues:
                self._send_batch(each)

        self._registering = self.send(
            TRANSACTION, "add", lambda answer: answer(self.cluster.transactions.add(name, epoch, (tp,))), hear
        )

    def _delivered(self, tp: _Place, code: int, first: int) -> None:
        queue = self._queues[tp]
        batch, queue.batch, queue.request = queue.batch, [], None
        if code == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER:
            self.fail(code, needs_epoch=True)
            # It would be retried, and waits for that even if the transaction must be aborted.
            queue.waiting.extendleft(reversed(batch))
            return
        if queue.origin == (self.producer, self.epoch):
            queue.sequence += len(batch)
        self._report(tp, batch, code, first)
        if code and self.name is not None:
            self.fail(code, fatal=_FATAL_TO_DELIVER)
        elif code:
            self._begin_sequences()
        self._send_batch(tp)

    def _report(self, tp: _Place, records: Sequence[_Record], code: int, first: int = -1) -> None:
        """Defer delivery reports to the next poll: of all records, or only of failed ones."""
        self._unsent -= len(records)
        error = error_of(code) if code else None
        self.failed += len(records) if code else 0
        if code or not self.config.get("delivery.report.only.error"):
            for place, record in enumerate(records):
                if record.on_delivery is not None:
                    offset = None if code else first + place
                    message = FakeMessage(*tp, offset, Entry(record.key, record.value, None, 0), error)
                    self._reports.append(lambda hear=record.on_delivery, message=message: hear(error, message))
        self.notify()

    def fail(self, code: int, *, needs_epoch: bool = False, fatal: Collection[int] = _FATAL) -> None:
        """Record that nothing more can be sent, and fail waiting records. An outdated epoch is a fatal fencing error.

        The next poll raises a fatal error, once. Of other errors, the first is kept.
        """
        self.needs_epoch |= needs_epoch
        is_fatal = code in fatal
        if self.failure is not None and (self.failure.fatal() or not is_fatal):
            return
        error_code = int(KafkaError._FENCED) if code == KafkaError.INVALID_PRODUCER_EPOCH else code
        self.failure = error = error_of(error_code, fatal=is_fatal, requires_abort=not is_fatal)
        if is_fatal:
            self._reports.appendleft(lambda: _raise(error))
        self.purge_queued()
        self.notify()

    def _expire(self) -> None:
        """Fail the records whose delivery timeout has passed."""
        now, self._looks = self.scheduler.now, False
        for tp, queue in self._queues.items():
            if queue.batch and queue.batch[0].deadline <= now:
                self._drop_batch(tp, queue)
            late = []
            while queue.waiting and queue.waiting[0].deadline <= now:
                late.append(queue.waiting.popleft())
            self._give_up(tp, late)
        if self._unsent:
            self._looks = True
            self.process.later(0.5, self._expire)

    def _drop_batch(self, tp: _Place, queue: _Queue) -> None:
        """Forget a batch of unknown fate: the next one starts a new sequence."""
        self._give_up(tp, queue.take_batch())
        if self.name is None:
            self._begin_sequences()

    def _begin_sequences(self) -> None:
        """Without transactions, continue behind a gap in the sequence numbers."""
        self.begin_epoch(self.cluster.transactions.new_producer(), -1)

    def begin_epoch(self, producer: int, epoch: int) -> None:
        """Restart the sequence numbers. Batches in flight still belong to the previous epoch."""
        self.producer, self.epoch, self.needs_epoch = producer, epoch, False
        for queue in self._queues.values():
            queue.sequence = 0

    def _give_up(self, tp: _Place, records: Sequence[_Record]) -> None:
        if records:
            self._report(tp, records, int(KafkaError._MSG_TIMED_OUT))
            if self.name is not None:
                self.fail(int(KafkaError._TIMED_OUT), needs_epoch=True)

    def purge_queued(self) -> None:
        """Fail the records that are not in flight yet."""
        for tp, queue in self._queues.items():
            if queue.waiting:
                waiting, queue.waiting = list(queue.waiting), deque()
                self._report(tp, waiting, int(KafkaError._PURGE_QUEUE))

    def poll(self, timeout: float = 0.0) -> int:
        self.wait(lambda: bool(self._reports), timeout)
        return self.serve()

    def flush(self, timeout: float) -> int:
        deadline = self.scheduler.now + timeout
        while len(self) and self.wait(lambda: bool(self._reports) or not self._unsent, deadline - self.scheduler.now):
            self.serve()
        return len(self)

    def serve(self) -> int:
        """Call the delivery reports that are due."""
        count = len(self._reports)
        for _ in range(count):
            self._reports.popleft()()
        return count

    def purge(self) -> None:
        """Fail all undelivered records, which leaves a gap in the sequence numbers."""
        for queue in self._queues.values():
            queue.sequence += len(queue.waiting) + len(queue.batch)
        self.purge_queued()
        for tp, queue in self._queues.items():
            if queue.batch:
                self._report(tp, queue.take_batch(), int(KafkaError._PURGE_INFLIGHT))


def _raise(error: KafkaError) -> None:
    raise KafkaException(error)
