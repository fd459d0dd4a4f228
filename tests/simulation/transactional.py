"""The transactions of the fake `confluent_kafka.Producer`: blocking calls and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from greenlet import GreenletExit

from tests.simulation.clients import error_of
from tests.simulation.logs import ABORTED, COMMITTED
from tests.simulation.network import END_TXN, OFFSETS, TRANSACTION, TXN_OFFSET_COMMIT
from tests.simulation.producer import QueueingProducer

_RETRY_SECONDS: Final = 0.05
_NEW, _READY, _OPEN, _ENDING = "new", "ready", "open", "ending"
_PASSING: Final = frozenset({KafkaError.CONCURRENT_TRANSACTIONS, KafkaError.COORDINATOR_LOAD_IN_PROGRESS})


class _Call:
    """A call in progress. A call that timed out continues, and the next call of its name resumes it."""

    __slots__ = ("error", "is_done", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_done = False
        self.error: KafkaError | None = None


class FakeProducer(QueueingProducer):
    """Obeys the laws of librdkafka's producer.

    It never returns from the call `stuck_in`, which was sent to the broker if it `does_stuck_call`.
    """

    def __init__(self, config: Mapping[str, Any], **options: object) -> None:
        super().__init__(config, **options)
        self.stuck_in = ""
        self.does_stuck_call = False
        self._has_offsets = False
        self._call: _Call | None = None
        self._stage = _NEW

    def _require(self, call: str, *stages: str) -> None:
        """Refuse a call in the wrong state, or after a failure."""
        self._raise_fatal()
        if self._call is not None and self._call.name != call:
            raise KafkaException(error_of(int(KafkaError._CONFLICT), retriable=True))
        if self.failure is not None and call != "abort_transaction":
            raise KafkaException(self.failure)
        if self.failure is None and self._stage not in stages:
            raise KafkaException(error_of(int(KafkaError._STATE)))

    def _enter(self, stage: str) -> None:
        self._stage = stage
        self.takes_records = stage == _OPEN

    def init_transactions(self, timeout: float = 30.0) -> None:
        self._require("init_transactions", _NEW)
        self._do("init_transactions", self._init, timeout)
        self._enter(_READY)

    def _init(self, call: _Call) -> None:
        """Get an epoch, the first or the next."""
        seconds = float(self.config.get("transaction.timeout.ms", 60_000)) / 1000

        def hear(answer: Any) -> None:
            if answer == KafkaError.CONCURRENT_TRANSACTIONS:
                self.process.later(_RETRY_SECONDS, lambda: self._init(call))
                return
            if isinstance(answer, tuple):
                self.begin_epoch(*answer)
            else:
                self.fail(answer)
            self._end(call)

        name, epoch, transactions = str(self.name), self.epoch, self.cluster.transactions
        self.send(TRANSACTION, "init", lambda answer: answer(transactions.begin_producer(name, seconds, epoch)), hear)

    def begin_transaction(self) -> None:
        self._require("begin_transaction", _READY)
        self.registered, self._has_offsets, self.failed = set(), False, 0
        self._enter(_OPEN)

    def send_offsets_to_transaction(
        self, positions: Sequence[TopicPartition], group: tuple[str, int] | None, timeout: float = 30.0
    ) -> None:
        offsets = {(each.topic, each.partition): (each.offset, str(each.metadata or "")) for each in positions}
        name, epoch, cluster = str(self.name), self.epoch, self.cluster

        def store(call: _Call) -> None:
            self._has_offsets = True
            self._request(
                call,
                (OFFSETS, TXN_OFFSET_COMMIT),
                lambda: cluster.commit_in_transaction(name, epoch, group, offsets),
                self._end,
            )

        def start(call: _Call) -> None:
            if self.failure is not None:
                self._end(call, self.failure)
                return
            self._request(call, (TRANSACTION, "add"), lambda: cluster.transactions.add(name, epoch, ()), store)

        self._require("send_offsets_to_transaction", _OPEN)
        self._do("send_offsets_to_transaction", start, timeout)

    def commit_transaction(self, timeout: float = 30.0) -> None:
        self._require("commit_transaction", _OPEN, _ENDING)
        self._enter(_ENDING)
        self._do("commit_transaction", lambda call: self._when_sent(call, COMMITTED), timeout, serves=True)
        self._enter(_READY)

    def abort_transaction(self, timeout: float = 30.0) -> None:
        self._require("abort_transaction", _OPEN, _ENDING)
        self._enter(_ENDING)
        self.purge_queued()
        self._do("abort_transaction", lambda call: self._when_sent(call, ABORTED), timeout, serves=True)
        self.failure = None
        self._enter(_READY)

    def _when_sent(self, call: _Call, state: int) -> None:
        """End the transaction once nothing is in flight, and all delivery reports were called."""
        if self.failure is not None and (self.failure.fatal() or state == COMMITTED):
            self._end(call, self.failure)
        elif len(self):
            self.process.later(0.03, lambda: self._when_sent(call, state))
        elif state == COMMITTED and self.failed:
            self.fail(int(KafkaError._INCONSISTENT))
            self._end(call, self.failure)
        elif not self.registered and not self._has_offsets:
            self._ended(call)
        else:
            name, epoch, transactions = str(self.name), self.epoch, self.cluster.transactions
            self._request(call, (TRANSACTION, END_TXN), lambda: transactions.end(name, epoch, state), self._ended)

    def _ended(self, call: _Call) -> None:
        """Get a new epoch after a gap in the sequence numbers."""
        if self.needs_epoch:
            self._init(call)
        else:
            self._end(call)

    def _request(
        self, call: _Call, kind: tuple[str, str], question: Callable[[], int], then: Callable[[_Call], None]
    ) -> None:
        """Send a request to the coordinator; retriable errors are retried."""

        def hear(code: int) -> None:
            if call.is_done:
                return
            if code in _PASSING:
                self.process.later(_RETRY_SECONDS, lambda: self._request(call, kind, question, then))
            elif code:
                self.fail(code)
                self._end(call, self.failure)
            else:
                then(call)

        self.send(*kind, lambda answer: answer(question()), hear)

    def _end(self, call: _Call, error: KafkaError | None = None) -> None:
        call.is_done, call.error = True, error
        self.notify()

    def _do(self, name: str, start: Callable[[_Call], None], timeout: float, *, serves: bool = False) -> None:
        """Wait for the end of a call; one that `serves` calls delivery reports meanwhile."""
        is_stuck = self.stuck_in == name
        if self._call is None:
            self._call = call = _Call(name)
            if not is_stuck or self.does_stuck_call:
                start(call)
        call = self._call
        if is_stuck:
            self.wait(lambda: False, None)
            raise GreenletExit
        deadline = self.scheduler.now + timeout
        while not (call.is_done or self._is_fenced()):
            if serves:
                self.serve()
            if not self.wait(
                lambda: call.is_done or self._is_fenced() or (serves and bool(self._reports)),
                deadline - self.scheduler.now,
            ):
                raise KafkaException(error_of(int(KafkaError._TIMED_OUT), retriable=True))
        self._call = None
        self._raise_fatal()
        if call.error is not None:
            raise KafkaException(call.error)

    def _is_fenced(self) -> bool:
        return self.failure is not None and self.failure.fatal()

    def _raise_fatal(self) -> None:
        if self.failure is not None and self.failure.fatal():
            raise KafkaException(self.failure)
