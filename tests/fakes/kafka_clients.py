"""A transactional client that blocks in a chosen call, and a broker that fences, without a network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

import faust
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from faust.types import TP

from runtime.kafka.config import EXACTLY_ONCE
from runtime.settings import Settings
from schemas.errors import DependencyError
from worker.kafka.faust_transport import LibrdkafkaTransport
from worker.kafka.ledger import Ledger
from worker.kafka.producer import LibrdkafkaProducer
from worker.kafka.transactions import TransactionTimeouts

QUICK: Final = TransactionTimeouts(call=0.01, silence=0.12, pause=0.001, total=5.0)


class FakeBroker:
    """The state that survives clients: committed results and offsets, and those of the open transaction.

    Every client blocks in the call `outage`; `fenced` is set once a client was initialized. The next
    `refusals` commits must be aborted.
    """

    def __init__(self, outage: str = "", refusals: int = 0) -> None:
        self.results: list[bytes] = []
        self.offsets: dict[TP, int] = {}
        self.open_results: list[bytes] = []
        self.open_offsets: dict[TP, int] = {}
        self.epoch = 0
        self.fenced = threading.Event()
        self.outage = outage
        self.refusals = refusals
        self.topic, self.questions = "one", 0
        self.refused: list[bool] = []
        """Whether each transaction that the member was notified of was refused."""
        self.late: Callable[[], None] = lambda: None
        """The repeated request to end a transaction, which has not arrived yet."""

    def fence(self) -> int:
        self.end(commit=False)
        self.epoch += 1
        self.fenced.set()
        return self.epoch

    def end(self, *, commit: bool) -> None:
        if commit:
            self.results += self.open_results
            self.offsets |= self.open_offsets
        self.open_results, self.open_offsets = [], {}

    @property
    def topic_check(self) -> FakeBroker:
        return self

    def ask(self) -> str:
        """Return the id of the topic now."""
        self.questions += 1
        return self.topic

    async def confirm(self, asked: str) -> None:
        if asked != "one":
            raise DependencyError("another topic")

    def group_metadata(self) -> None:
        return None

    def record_transaction(self, *, is_refused: bool) -> None:
        self.refused.append(is_refused)

    async def committed(self, tps: Collection[TP]) -> Mapping[TP, int]:
        return {tp: offset for tp, offset in self.offsets.items() if tp in tps}


class FakeClient:
    """Replaces librdkafka's transactional producer; its records arrive at once.

    It never returns from the call `stuck`, whose effect may have been `done`; `is_stuck` is set when it blocks. The
    coordinator ends its transaction before the call `fenced_in`, which gets that error.
    """

    def __init__(self, broker: FakeBroker, stuck: str = "", *, done: bool = False, fenced_in: str = "") -> None:
        self.broker, self.stuck, self.done, self.fenced_in = broker, stuck, done, fenced_in
        self.is_stuck = threading.Event()
        self.calls: list[str] = []
        self.config: Mapping[str, Any] = {}
        self._epoch = 0

    def init_transactions(self, _seconds: float) -> None:
        self._do("init_transactions", self._enter)

    def begin_transaction(self) -> None:
        self._do("begin_transaction", lambda: None)

    def send_offsets_to_transaction(self, positions: Sequence[TopicPartition], _group: Any, _seconds: float) -> None:
        offsets = {TP(position.topic, position.partition): position.offset for position in positions}
        self._do("send_offsets_to_transaction", lambda: self.broker.open_offsets.update(offsets))

    def commit_transaction(self, _seconds: float) -> None:
        self._do("commit_transaction", lambda: self.broker.end(commit=True))

    def abort_transaction(self, _seconds: float) -> None:
        self._do("abort_transaction", lambda: self.broker.end(commit=False))

    def produce(self, _topic: str, value: bytes, _key: bytes | None, _partition: int) -> None:
        self._do("produce", lambda: self.broker.open_results.append(value))

    def poll(self, _seconds: float) -> int:
        if self.fenced_in == "poll" and self.broker.open_results:
            self._do("poll", lambda: None)
        return 0

    def purge(self) -> None:
        pass

    def __len__(self) -> int:
        return 0

    def _enter(self) -> None:
        self._epoch = self.broker.fence()

    def _do(self, call: str, work: Callable[[], None]) -> None:
        self.calls.append(call)
        if call == self.fenced_in:
            self.broker.end(commit=False)
            raise KafkaException(KafkaError(KafkaError._FENCED, "too slow", True))
        if call == "commit_transaction" and self.broker.refusals:
            self.broker.refusals -= 1
            raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, "old", False, False, True))
        stuck = call in {self.stuck, self.broker.outage}
        if not stuck or self.done:
            assert call == "init_transactions" or self._epoch == self.broker.epoch, "it is fenced"
            work()
        if stuck:
            self.is_stuck.set()
            threading.Event().wait()


class RepeatingClient(FakeClient):
    """A client that ends each transaction twice; the second request arrives just before the next offsets."""

    def send_offsets_to_transaction(self, positions: Sequence[TopicPartition], group: Any, seconds: float) -> None:
        self.broker.late()
        super().send_offsets_to_transaction(positions, group, seconds)

    def commit_transaction(self, seconds: float) -> None:
        super().commit_transaction(seconds)
        self.broker.late = partial(self._end_again, commit=True)

    def abort_transaction(self, seconds: float) -> None:
        super().abort_transaction(seconds)
        self.broker.late = partial(self._end_again, commit=False)

    def _end_again(self, *, commit: bool) -> None:
        if self._epoch == self.broker.epoch:
            self.broker.end(commit=commit)


class RefusingClient(FakeClient):
    """A client whose broker refuses values of more than `largest` bytes; then the transaction must be aborted.

    The broker is fast: the next call meets a failed transaction, and the next `poll` reports why it failed.
    """

    def __init__(self, broker: FakeBroker, largest: int) -> None:
        super().__init__(broker)
        self.largest = largest
        self.reports: list[Callable[[], object]] = []
        self.has_failed = False

    def produce(
        self,
        _topic: str,
        value: bytes | None,
        _key: bytes | None,
        on_delivery: Callable[..., object] | None = None,
        **_options: object,
    ) -> None:
        if self.has_failed:
            raise KafkaException(KafkaError(KafkaError._STATE))
        if value is not None and len(value) > self.largest:
            assert on_delivery is not None
            self.has_failed = True
            self.reports.append(lambda: on_delivery(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None))
        else:
            self._do("produce", lambda: self.broker.open_results.append(value or b""))

    def abort_transaction(self, seconds: float) -> None:
        super().abort_transaction(seconds)
        self.has_failed = False

    def poll(self, _seconds: float) -> int:
        due, self.reports = self.reports, []
        for report in due:
            report()
        return len(due)

    def __len__(self) -> int:
        return len(self.reports)


class GapClient(FakeClient):
    """A client whose first transaction must be aborted, while its records wait for a delivery that never comes."""

    has_gap = True

    def begin_transaction(self) -> None:
        if self.broker.open_results and self.has_gap:
            raise KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "gap", False, False, True))
        super().begin_transaction()

    def abort_transaction(self, seconds: float) -> None:
        super().abort_transaction(seconds)
        self.has_gap = False

    def __len__(self) -> int:
        return len(self.broker.open_results) if self.has_gap else 0


def new_producer(broker: FakeBroker, *clients: FakeClient, timeouts: TransactionTimeouts = QUICK) -> LibrdkafkaProducer:
    """Return a producer that is not started; it gets these clients one after the other, and then normal ones."""
    settings = Settings.from_mapping(
        {"HEARTSTREAM_WORKER__GROUP_ID": "group", "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": EXACTLY_ONCE}
    )
    coming = list(clients)

    def next_client(config: Mapping[str, Any], logger: object) -> Any:  # noqa: ARG001  # the client's signature
        client = coming.pop(0) if coming else FakeClient(broker)
        client.config = config
        return client

    app = faust.App("test", broker="librdkafka://")
    producer = LibrdkafkaTransport(app, settings, Ledger()).create_producer()
    producer.timeouts = timeouts
    producer.new_client = next_client
    return producer
