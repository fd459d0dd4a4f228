"""Faust's producer on librdkafka: records are queued in bulk, and confirmed together.

Successful deliveries are not reported one by one: a call from C into Python would cost more than producing the record.
The client reports failures only; everything is confirmed when nothing is in flight (`await_deliveries`). It is polled
on the event loop's thread; another thread would compete with scoring for the GIL.

A transactional client that is stuck, or may have sent a request twice, is replaced by a new one with the same ID. The
old one is never called again, and its callbacks are ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as Client
from faust.transport.producer import Producer as FaustProducer

from runtime import events
from runtime.logs import CLIENT_LOG
from schemas.errors import DependencyError
from worker.kafka.bulk_produce import produce_range, runs
from worker.kafka.client_destruction import destroyed_in_thread
from worker.kafka.delivery_errors import DeliveryError, UnsentError, delivery_failure
from worker.kafka.outgoing_record import ANY_PARTITION, DeliveryReports, Headers, OutgoingRecord
from worker.kafka.transactions import (
    TIMEOUTS,
    Transactions,
    TransactionTimeouts,
    UnresponsiveClientError,
    shortest_retry,
)

_POLL_INTERVAL_SECONDS: Final = 0.001
_CHECK_SECONDS: Final = 0.2
"""How often a transaction is checked while its records are being delivered, which normally takes less."""
_IDLE_SECONDS: Final = 0.5
_FULL_WAIT_SECONDS: Final = 0.005
_FLUSH_SECONDS: Final = 10.0
_BATCH_BYTES: Final = 1_000_000
"""The client's default limit."""
_NO_HEADERS: Final[Mapping[int, Headers]] = {}


class LibrdkafkaProducer(FaustProducer):
    """An idempotent producer (acks=all), transactional if its configuration has a `transactional.id`.

    `queue` and `queue_record` are for one caller, which also calls `await_deliveries`.
    """

    client_config: Mapping[str, object]
    timeouts: TransactionTimeouts = TIMEOUTS
    new_client: Callable[..., Client] = Client
    transactions: Transactions | None = None
    """Those of the current client, once the producer has started, if it is transactional."""
    _client: Client | None = None
    _reports: DeliveryReports

    async def on_start(self) -> None:
        """Create the client. A transactional one is initialized at once, which ends its predecessor's transaction."""
        self._connect()
        self._prepared = asyncio.Event()
        await super().on_start()
        self.add_future(self._serve_client())
        if self.transactions is not None:
            self.add_future(self._prepare())

    def _connect(self) -> None:
        """Create a client whose callbacks go to new delivery reports."""
        self._reports = reports = DeliveryReports()
        ours = {
            "error_cb": reports.on_client_error,
            "on_delivery": reports.on_failed_result,
            "delivery.report.only.error": True,
        }
        self._client = self.new_client({**self.client_config, **ours}, logger=CLIENT_LOG)
        if "transactional.id" in self.client_config:
            self.transactions = Transactions(self._client, self.timeouts, shortest_retry(self.client_config))

    async def _prepare(self) -> None:
        """Initialize transactions, however long that takes; replace a client that is stuck."""
        attempt = 1
        while True:
            try:
                await self.require_transactions().prepare(attempt)
            except UnresponsiveClientError as silence:
                call = str(silence)
            else:
                self._prepared.set()
                return
            self._replace(call)
            attempt += 1

    async def begin(self) -> None:
        """Begin a transaction, once the client is initialized and no late request can arrive in it."""
        async with self.timeouts.wait_for_coordinator():
            await self._prepared.wait()
            await self.require_transactions().settle()
            if (call := self.require_transactions().retried) is not None:
                await self.replace_client(call)
            elif self.require_transactions().has_sequence_gap:
                self._swap_client()
                await self._prepare()
            fenced = ""
            try:
                self.require_transactions().begin()
            except UnresponsiveClientError as error:
                fenced = str(error)
            # Not inside `except`: the traceback refers to the client, which another thread must destroy.
            if fenced:
                await self.replace_client(fenced)
                self.require_transactions().begin()

    async def replace_client(self, call: str) -> None:
        """Replace a client that is stuck in `call`, or was slow in it. On return, its transaction has ended."""
        self._replace(call)
        await self._prepare()

    @property
    def batch_bytes(self) -> int:
        """The client's maximum batch size in bytes; a larger record is a batch of its own."""
        return int(str(self.client_config.get("batch.size", _BATCH_BYTES)))

    async def limit_batches(self, size: int) -> None:
        """Continue with a client whose batches have at most `size` bytes. Nothing may be in flight."""
        if self.transactions is not None:
            async with self.timeouts.wait_for_coordinator():
                await self._prepared.wait()
        self.client_config = {**self.client_config, "batch.size": size}
        events.BatchesLimited(size).emit()
        self._swap_client()
        if self.transactions is not None:
            await self._prepare()

    def _replace(self, call: str) -> None:
        """Continue with a new client, as the current one is stuck, or may have sent a request twice."""
        events.ProducerReplaced(call).emit()
        self._swap_client()

    def _swap_client(self) -> None:
        """Continue with a new client. Closing the old one may block, so it is done in a thread."""
        with destroyed_in_thread(self._client):
            self._connect()

    async def _serve_client(self) -> None:
        """Poll the client for errors even while nothing is sent."""
        while not self.should_stop:
            self._poll()
            failure = self._reports.failure
            # A transaction with a failed delivery or a fenced client is repeated.
            passes = self.transactions is not None and isinstance(failure, DeliveryError | UnresponsiveClientError)
            if failure is not None and not passes:
                raise failure
            await self.sleep(_IDLE_SECONDS)

    @property
    def in_flight(self) -> int:
        """The number of records that the broker has not confirmed."""
        return len(self._client) if self._client is not None else 0

    async def queue(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        headers: Mapping[int, Headers] = _NO_HEADERS,
        keyless_partition: int = ANY_PARTITION,
    ) -> None:
        """Queue keyed values in order; returns when all are queued. Waits while the client's queue is full.

        `headers` has the headers of some or all values, by index. Values without a key go to `keyless_partition`.
        Refused records are returned by the next `await_deliveries`. Raises DeliveryError for what cannot be sent.
        """
        produce = self._require_client().produce
        for start, stop in runs(len(values), () if len(headers) == len(values) else headers):
            carried = headers if start in headers else None
            index = start
            while index < stop:
                try:
                    index = produce_range(produce, topic, keys, values, carried, range(index, stop), keyless_partition)
                except UnsentError as unsent:
                    index = unsent.index
                    self._reports.on_unsent_result(topic, keys[index], values[index], keyless_partition, unsent)
                    index += 1
                else:
                    if index < stop:
                        await self._wait_for_space()
            self._poll()

    async def queue_record(self, record: OutgoingRecord) -> None:
        """Queue one record with headers. If it is refused, the next `await_deliveries` returns it."""
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

    async def await_deliveries(self) -> list[OutgoingRecord]:
        """Wait until all queued records are confirmed; return the records that the broker refused.

        They are too large, too old, without a key for a compacted topic, or were in a batch with such a record; their
        timestamps are removed, and scores among them lack their headers. Raises DeliveryError if another record could
        not be delivered. In a transaction it returns at the first refusal, as the rest will not be sent. Raises
        AbortRequiredError if the transaction must be aborted for another reason.
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

    async def clear_failures(self) -> list[OutgoingRecord]:
        """After an aborted transaction, collect its remaining delivery reports and clear the failure.

        Returns the refused records that `await_deliveries` has not returned.
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
        """Return the records refused since the last call; they leave a gap in their partition's sequence numbers."""
        reports = self._reports
        refused, reports.refused = reports.refused, []
        if self.transactions is not None and (refused or isinstance(reports.failure, DeliveryError)):
            self.transactions.has_sequence_gap = True
        return refused

    async def _wait_for_space(self) -> None:
        """Wait for space in the client's queue."""
        self._poll()
        await asyncio.sleep(_FULL_WAIT_SECONDS)

    async def flush(self) -> None:
        """Wait up to ten seconds for confirmation; only `await_deliveries` reports whether it came."""
        await self.buffer.flush()
        deadline = self.loop.time() + _FLUSH_SECONDS
        while self.in_flight and self.loop.time() < deadline:
            self._poll()
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def on_stop(self) -> None:
        """Drop records still in flight, for which Faust has waited (`flush`), and abort an open transaction."""
        if self._client is None:
            return
        # Publishing ends first, as purged records would look confirmed. The consumer has left the group, so nothing
        # confirmed from now on could be committed.
        await self._stop_futures()
        if self.transactions is not None:
            await self.transactions.abort_if_open()
        failure = DependencyError("the producer was stopped with results in flight")
        self._reports.failure = self._reports.failure or failure
        self._client.purge()

    def _poll(self) -> None:
        """Serve the client's callbacks. The call itself raises a fatal error."""
        try:
            self._require_client().poll(0)
        except KafkaException as error:
            self._reports.on_client_error(error.args[0])

    def _require_client(self) -> Client:
        if self._client is None:
            raise DependencyError("the producer is not started")
        return self._client

    def require_transactions(self) -> Transactions:
        """Return the current client's transactions; only for a transactional producer."""
        if self.transactions is None:
            raise AssertionError("this producer is not transactional")
        return self.transactions
