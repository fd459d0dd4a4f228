"""The stand-in for `confluent_kafka.Producer`: queues, idempotent batches, delivery reports, and its local side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError

from tests.simulation.clients import Client, error_of, failure
from tests.simulation.logs import Entry, FakeMessage
from tests.simulation.network import OUTPUT, TRANSACTION, Request

_Place = tuple[str, int]
_RETRY_SECONDS: Final = 0.05
_BATCH: Final = 5


class _Record:
    __slots__ = ("deadline", "headers", "key", "on_delivery", "value")

    def __init__(self, key: bytes | None, value: bytes | None, headers: Any, on_delivery: Any, deadline: float) -> None:
        self.key, self.value, self.headers, self.on_delivery = key, value, headers, on_delivery
        self.deadline = deadline


class _Queue:
    """What waits for one partition, and the batch that is on its way."""

    __slots__ = ("batch", "request", "sequence", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[_Record] = deque()
        self.batch: list[_Record] = []
        self.request: Request | None = None
        self.sequence = 0

    def take_batch(self) -> list[_Record]:
        """Return the batch that was on its way: nobody waits for its answer any more."""
        if self.request is not None:
            self.request.give_up()
        batch, self.batch, self.request = self.batch, [], None
        return batch


class QueueingProducer(Client):
    """Sends records of one partition in their order, each batch once, whatever is lost on the way.

    `epoch` is -1 without transactions. `failure` is why nothing more can be sent: a fatal error, or one after which the
    open transaction must be aborted.
    """

    def __init__(self, config: Mapping[str, Any], **options: object) -> None:
        super().__init__(config, **options)
        name = config.get("transactional.id")
        self.name: str | None = None if name is None else str(name)
        self.producer = 0 if self.name else self.cluster.transactions.new_producer()
        self.epoch = -1
        self.failure: KafkaError | None = None
        self.registered: set[_Place] = set()
        """The partitions that are in the open transaction."""
        self._queues: dict[_Place, _Queue] = {}
        self._reports: deque[Callable[[], object]] = deque()
        self._unsent = 0
        self._registering: Request | None = None
        self._timeout = float(config.get("message.timeout.ms", 10_000)) / 1000
        self._looks = False

    def __len__(self) -> int:
        return self._unsent + len(self._reports)

    @property
    def unsent(self) -> int:
        """How many records are neither delivered nor given up."""
        return self._unsent

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
        sequence, epoch = queue.sequence, self.epoch
        queue.request = self.send(
            OUTPUT,
            "produce",
            lambda answer: answer(self.cluster.produce(tp, self.producer, epoch, sequence, records, self.name)),
            lambda code: self._delivered(tp, code),
        )

    def _register(self, tp: _Place) -> None:
        """Take a partition into the transaction, one after the other."""
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

    def _delivered(self, tp: _Place, code: int) -> None:
        queue = self._queues[tp]
        batch, queue.batch, queue.request = queue.batch, [], None
        queue.sequence += len(batch)
        if code:
            self.fail(code)
            self._report(tp, batch, error_of(code))
        else:
            self._unsent -= len(batch)
            self.notify()
            self._send_batch(tp)

    def _report(self, tp: _Place, records: Sequence[_Record], error: KafkaError) -> None:
        """Leave reports of failed deliveries to the next poll. None but failures are reported."""
        self._unsent -= len(records)
        for record in records:
            if record.on_delivery is not None:
                message = FakeMessage(*tp, -1001, Entry(record.key, record.value, None, 0))
                self._reports.append(lambda hear=record.on_delivery, message=message: hear(error, message))
        self.notify()

    def fail(self, code: int) -> None:
        """Note that nothing more can be sent. An old epoch is a fence, and that is fatal."""
        if self.failure is not None and self.failure.fatal():
            return
        if code == KafkaError.INVALID_PRODUCER_EPOCH:
            self.failure = error_of(int(KafkaError._FENCED), fatal=True)
        elif code == KafkaError.INVALID_TXN_STATE:
            self.failure = error_of(code, fatal=True)
        else:
            self.failure = error_of(code, requires_abort=True)
        error = self.failure
        if error.fatal():
            self._reports.append(lambda: self.config["error_cb"](error))
        self.notify()

    def _expire(self) -> None:
        """Give up what was to be delivered by now."""
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
        """Forget a batch whose fate is not known: what follows it begins a sequence of its own."""
        self._give_up(tp, queue.take_batch())
        if self.name is None:
            self.producer = self.cluster.transactions.new_producer()
            for each in self._queues.values():
                each.sequence = 0
        else:
            queue.sequence = self.cluster.topics.logs[tp].sequences.get((self.producer, self.epoch), 0)

    def _give_up(self, tp: _Place, records: Sequence[_Record]) -> None:
        if records:
            if self.name is not None:
                self.fail(int(KafkaError._MSG_TIMED_OUT))
            self._report(tp, records, error_of(int(KafkaError._MSG_TIMED_OUT)))

    def purge_queued(self) -> None:
        """Give up what is not on its way yet."""
        for tp, queue in self._queues.items():
            if queue.waiting:
                waiting, queue.waiting = list(queue.waiting), deque()
                self._report(tp, waiting, error_of(int(KafkaError._PURGE_QUEUE)))

    def poll(self, timeout: float = 0.0) -> int:
        self.wait(lambda: bool(self._reports), timeout)
        count = len(self._reports)
        for _ in range(count):
            self._reports.popleft()()
        return count

    def purge(self) -> None:
        self.purge_queued()
        for tp, queue in self._queues.items():
            if queue.batch:
                self._report(tp, queue.take_batch(), error_of(int(KafkaError._PURGE_INFLIGHT)))
