"""Faust's producer on librdkafka: records are queued by the batch, and confirmed all together.

No success is reported record by record: a call from C into Python for each would cost more than queueing it. The client
calls back for failures alone; that all is confirmed is known when nothing is outstanding any more (`settle`). It is
polled on the event loop's own thread; a thread of its own would have to win the interpreter lock for every record
against a loop that is busy scoring.

A transactional client that is stuck, or may have sent a request twice, is replaced by a new one with the same id. The
old one is never called again, and what it still calls back reaches nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as Client
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP, HeadersArg, RecordMetadata

from runtime import events
from runtime.logs import CLIENT_LOG
from schemas.errors import DependencyError
from worker.transport.deliveries import DeliveryError, delivery_failure
from worker.transport.outgoing import ANY_PARTITION, Headers, OutgoingRecord, Reports
from worker.transport.queueing import UnsentError, produce_run, runs
from worker.transport.transactions import PATIENCE, Patience, SilentClientError, Transactions, shortest_retry

_POLL_INTERVAL_SECONDS: Final = 0.001
_CHECK_SECONDS: Final = 0.2
"""How often a transaction is checked while its records are being delivered, which normally takes less."""
_IDLE_SECONDS: Final = 0.5
_FULL_WAIT_SECONDS: Final = 0.005
_FLUSH_SECONDS: Final = 10.0
_BATCH_BYTES: Final = 1_000_000
"""The client's own limit to a batch."""
_NO_HEADERS: Final[Mapping[int, Headers]] = {}


class LibrdkafkaProducer(FaustProducer):
    """An idempotent producer (acks=all), transactional if its configuration has a `transactional.id`.

    `queue` and `queue_record` are for one caller, which also calls `settle`.
    """

    client_config: Mapping[str, object]
    patience: Patience = PATIENCE
    new_client: Callable[..., Client] = Client
    transactions: Transactions | None = None
    """Those of the present client, once the producer has started, if it is transactional."""
    _client: Client | None = None
    _reports: Reports

    async def on_start(self) -> None:
        """Connect. A transactional client is made known to the broker at once: that ends what its predecessor left."""
        self._connect()
        self._prepared = asyncio.Event()
        await super().on_start()
        self.add_future(self._serve_client())
        if self.transactions is not None:
            self.add_future(self._prepare())

    def _connect(self) -> None:
        """Make a client, and let it tell nobody but this object of what it does."""
        self._reports = reports = Reports()
        ours = {
            "error_cb": reports.on_client_error,
            "on_delivery": reports.on_failed_result,
            "delivery.report.only.error": True,
        }
        self._client = self.new_client({**self.client_config, **ours}, logger=CLIENT_LOG)
        if "transactional.id" in self.client_config:
            self.transactions = Transactions(self._client, self.patience, shortest_retry(self.client_config))

    async def _prepare(self) -> None:
        """Make the client known to the broker, however long that takes; one that is stuck is replaced."""
        turn = 1
        while True:
            try:
                await self.require_transactions().prepare(turn)
            except SilentClientError as silence:
                call = str(silence)
            else:
                self._prepared.set()
                return
            self._replace(call)
            turn += 1

    async def begin(self) -> None:
        """Open a transaction, when the client is known to the broker and nothing it sent can arrive in it, late."""
        async with self.in_time():
            await self._prepared.wait()
            transactions = self.require_transactions()
            if transactions.retried is not None:
                await self.renew(transactions.retried)
            elif transactions.has_sequence_gap:
                self._exchange()
                await self._prepare()
            try:
                self.require_transactions().begin()
            except SilentClientError as error:
                await self.renew(str(error))
                self.require_transactions().begin()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Raise DependencyError if what is done within needs longer than a coordinator may be away."""
        try:
            async with asyncio.timeout(self.patience.total):
                yield
        except TimeoutError as silence:
            raise DependencyError("the transaction coordinator does not answer in time") from silence

    async def renew(self, call: str) -> None:
        """Replace a client that is stuck in `call`, or was slow in it. When this returns, nothing of it is pending."""
        self._replace(call)
        await self._prepare()

    @property
    def batch_bytes(self) -> int:
        """How many bytes of records the client sends in one batch at most; a larger record is a batch by itself."""
        return int(str(self.client_config.get("batch.size", _BATCH_BYTES)))

    async def limit_batches(self, size: int) -> None:
        """Go on with a client whose batches have at most `size` bytes. Nothing may be on its way."""
        if self.transactions is not None:
            async with self.in_time():
                await self._prepared.wait()
        self.client_config = {**self.client_config, "batch.size": size}
        events.BatchesLimited(size).emit()
        self._exchange()
        if self.transactions is not None:
            await self._prepare()

    def _replace(self, call: str) -> None:
        """Go on with a new client, as the present one is stuck, or may have sent a request twice."""
        events.ProducerReplaced(call).emit()
        self._exchange()

    def _exchange(self) -> None:
        """Go on with a new client. The end of the old one may take its time, so it has a thread of its own."""
        gone = threading.Event()
        threading.Thread(target=_outlive, args=(gone, self._client), name="old-producer", daemon=True).start()
        self._connect()
        gone.set()

    async def _serve_client(self) -> None:
        """Hear of the client's troubles also while nothing is sent."""
        while not self.should_stop:
            self._poll()
            failure = self._reports.failure
            # A transaction in which a delivery failed, or whose client was fenced, is done again.
            passes = self.transactions is not None and isinstance(failure, DeliveryError | SilentClientError)
            if failure is not None and not passes:
                raise failure
            await self.sleep(_IDLE_SECONDS)

    @property
    def outstanding(self) -> int:
        """Records that the broker has not confirmed."""
        return len(self._client) if self._client is not None else 0

    async def queue(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        headers: Mapping[int, Headers] = _NO_HEADERS,
        home: int = ANY_PARTITION,
    ) -> None:
        """Queue keyed values in order; returns when all are queued. Waits while the client's queue is full.

        `headers` has those of the few that carry any, or of all, by place. What has no key goes to the partition
        `home`. What its topic does not take is returned by the next `settle`. Raises DeliveryError for what can never
        be sent.
        """
        client = self._require_client()
        for start, stop in runs(len(values), () if len(headers) == len(values) else headers):
            carried = headers if start in headers else None
            place = start
            while place < stop:
                try:
                    place = produce_run(client.produce, topic, keys, values, carried, range(place, stop), home)
                except UnsentError as unsent:
                    place = unsent.place + 1
                    if unsent.error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                        raise delivery_failure(f"a result cannot be sent to {topic}", unsent.error) from unsent
                    key, value = keys[unsent.place], values[unsent.place]
                    self._reports.refuse_result(topic, key, value, home if key is None else -1, unsent.error.code())
                else:
                    if place < stop:
                        await self._wait_for_space()
            self._poll()

    async def queue_record(self, record: OutgoingRecord) -> None:
        """Queue one record with headers. One that its topic does not take as it is is returned by the next `settle`."""
        refused = partial(self._reports.on_refused_record, record)
        options: dict[str, Any] = {} if record.timestamp is None else {"timestamp": record.timestamp}
        options |= {"headers": list(record.headers), "on_delivery": refused, "partition": record.partition}
        while True:
            try:
                self._require_client().produce(record.topic, record.value, record.key, **options)
            except BufferError:
                await self._wait_for_space()
            except KafkaException as failure:
                if failure.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise delivery_failure(f"a result cannot be sent to {record.topic}", failure.args[0]) from failure
                record.refusal = KafkaError.MSG_SIZE_TOO_LARGE
                self._reports.refused.append(record)
                return
            else:
                return

    async def settle(self) -> list[OutgoingRecord]:
        """Wait until all that was queued is confirmed; returns the records that their topics refused.

        They are too large, were too old, have no key, or shared a batch with such a one; they have no timestamp any
        more, and results among them no headers.
        Raises DeliveryError if anything else could not be delivered for good. Within a transaction it returns at the
        first refusal: the rest will not be sent any more. Raises AbortRequiredError if the transaction cannot be
        committed for another reason: the client may keep its records then until their delivery times out.
        """
        client, reports = self._require_client(), self._reports
        self._poll()
        loop = asyncio.get_running_loop()
        check_at = loop.time() + _CHECK_SECONDS
        while reports.failure is None and len(client) and not (reports.refused and self.transactions):
            if self.transactions and loop.time() >= check_at:
                self.transactions.check()
                check_at = loop.time() + _CHECK_SECONDS
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)
            self._poll()
        refused = self._take_refused()
        if reports.failure is not None and not (refused and self.transactions):
            raise reports.failure
        return refused

    async def forget_failures(self) -> list[OutgoingRecord]:
        """After an aborted transaction: hear the rest of what became of its records, and let it be the past.

        Returns those that their topics refused and `settle` has not told of.
        """
        client, reports = self._require_client(), self._reports
        while len(client):
            self._poll()
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)
        refused = self._take_refused()
        if isinstance(reports.failure, DeliveryError):
            reports.failure = None
        return refused

    def _take_refused(self) -> list[OutgoingRecord]:
        """Return what was refused since the last time, and remember that it is missing in its partition's sequence."""
        reports = self._reports
        refused, reports.refused = reports.refused, []
        if self.transactions is not None and (refused or isinstance(reports.failure, DeliveryError)):
            self.transactions.has_sequence_gap = True
        return refused

    async def _wait_for_space(self) -> None:
        """Let the broker catch up: the client's queue is full."""
        self._poll()
        await asyncio.sleep(_FULL_WAIT_SECONDS)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Send one record for Faust's `topic.send`; the returned future ends when the broker has confirmed it.

        Where it stands is not known then: partition (unless it was given) and offset are -1.
        """
        if transactional_id is not None or self.transactions is not None:
            raise DependencyError("single records cannot be sent beside the worker's own transactions")
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        if timestamp is not None:
            options["timestamp"] = int(timestamp * 1000)
        pairs: list[Any] = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
        options |= {"headers": pairs, "on_delivery": self._reports.on_failed_delivery}
        self._require_client().produce(topic, value, key, **options)
        place = TP(topic, -1 if partition is None else partition)
        return asyncio.ensure_future(self._confirm(RecordMetadata(topic, place.partition, place, -1)))

    async def _confirm(self, metadata: RecordMetadata) -> RecordMetadata:
        while self.outstanding and self._reports.failure is None:
            self._poll()
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)
        if self._reports.failure is not None:
            raise self._reports.failure
        return metadata

    async def send_and_wait(  # noqa: D102  # as in the base class
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: HeadersArg | None,
        *,
        transactional_id: str | None = None,
    ) -> RecordMetadata:
        return await (
            await self.send(topic, key, value, partition, timestamp, headers, transactional_id=transactional_id)
        )

    async def flush(self) -> None:
        """Wait until all is confirmed, at most ten seconds; only `settle` says whether it was."""
        await self.buffer.flush()
        deadline = self.loop.time() + _FLUSH_SECONDS
        while self.outstanding and self.loop.time() < deadline:
            self._poll()
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def on_stop(self) -> None:
        """Give up what is still on its way, for which Faust has waited (`flush`), and abort an open transaction."""
        if self._client is None:
            return
        # What publishes ends first: it would take for confirmed what is purged. The consumer has left, so nothing that
        # was confirmed from now on could be committed.
        await self._stop_futures()
        if self.transactions is not None:
            await self.transactions.leave()
        failure = DependencyError("the producer was stopped with results on their way")
        self._reports.failure = self._reports.failure or failure
        self._client.purge()

    def supports_headers(self) -> bool:
        """Say that headers are sent."""
        return True

    def _poll(self) -> None:
        """Hear what the client has to tell. A fatal error is raised by the call itself."""
        try:
            self._require_client().poll(0)
        except KafkaException as error:
            self._reports.on_client_error(error.args[0])

    def _require_client(self) -> Client:
        if self._client is None:
            raise DependencyError("the producer is not started")
        return self._client

    def require_transactions(self) -> Transactions:
        """Return the present client's transactions; only a transactional producer has them."""
        if self.transactions is None:
            raise AssertionError("this producer is not transactional")
        return self.transactions


def _outlive(gone: threading.Event, _client: Client | None) -> None:
    """Hold the last reference to a client, so that it ends in this thread."""
    gone.wait()
