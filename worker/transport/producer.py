"""Faust's producer on librdkafka: whole batches, confirmed as a whole.

It is polled on the event loop's own thread. A thread of its own would have to win the interpreter lock for every single
delivery report against a loop that is busy scoring.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client
from faust.transport.producer import Producer as FaustProducer
from faust.types import TP, HeadersArg, RecordMetadata

from runtime import events
from runtime.logs import CLIENT_LOG
from schemas.errors import DependencyError
from worker.transport.delivery import Delivery

_POLL_INTERVAL_SECONDS: Final = 0.001
_IDLE_SECONDS: Final = 0.5
_FULL_WAIT_SECONDS: Final = 0.005
_FLUSH_SECONDS: Final = 10.0
_POLL_EVERY_RECORDS: Final = 500

Headers = Sequence[tuple[str, bytes | None]]
OnDelivery = Callable[[KafkaError | None, Message | None], None]


class OutgoingRecord:
    """A record to be sent that carries headers; results without headers take the shorter way of `send_batch`."""

    __slots__ = ("headers", "key", "timestamp", "topic", "value")

    def __init__(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int | None = None
    ) -> None:
        """Keep the parts. `timestamp` is in milliseconds since 1970; None lets the client give the present time."""
        self.topic, self.key, self.value, self.headers, self.timestamp = topic, key, value, headers, timestamp


class LibrdkafkaProducer(FaustProducer):
    """An idempotent producer (acks=all). Ordinary `topic.send` works on it too."""

    client_config: Mapping[str, object]
    _client: Client | None = None
    _failure: DependencyError | None = None

    async def on_start(self) -> None:
        """Connect, and begin to take delivery reports."""
        self._queued = asyncio.Event()
        self._client = Client({**self.client_config, "error_cb": self._on_client_error}, logger=CLIENT_LOG)
        await super().on_start()
        self.add_future(self._take_reports())

    async def _take_reports(self) -> None:
        """Take delivery reports while there are any to come, and news of the client now and then."""
        client = self._require_client()
        while not self.should_stop:
            client.poll(0)
            if self._failure is not None:
                raise self._failure
            if self.outstanding:
                await asyncio.sleep(_POLL_INTERVAL_SECONDS)
                continue
            self._queued.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._queued.wait()

    @property
    def outstanding(self) -> int:
        """Records that the broker has not confirmed."""
        return len(self._client) if self._client is not None else 0

    async def send_batch(
        self,
        topic: str,
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        others: Sequence[OutgoingRecord] = (),
    ) -> Delivery:
        """Queue keyed values for `topic`, then `others`; returns when all are queued, with their common delivery.

        Order within a key is kept. Waits while the client's queue is full. Raises DependencyError for what can never
        be sent. Callers take turns: calls at the same time would mix the order of their records.
        """
        client = self._require_client()
        delivery = Delivery(len(values) + len(others))
        self._queued.set()
        produce, confirm = client.produce, delivery.confirm
        for start in range(0, len(values), _POLL_EVERY_RECORDS):
            stop = min(start + _POLL_EVERY_RECORDS, len(values))
            while (start := _produce_run(produce, topic, keys, values, start, stop, confirm)) < stop:
                await self._wait_for_space()
            client.poll(0)
        for record in others:
            await self._produce_one(record, confirm)
        return delivery

    async def _produce_one(self, record: OutgoingRecord, on_delivery: OnDelivery) -> None:
        produce = self._require_client().produce
        options: dict[str, Any] = {} if record.timestamp is None else {"timestamp": record.timestamp}
        options["headers"] = list(record.headers)
        while True:
            try:
                produce(record.topic, record.value, record.key, on_delivery=on_delivery, **options)
            except BufferError:
                await self._wait_for_space()
            except KafkaException as failure:
                raise _undeliverable(failure) from failure
            else:
                return

    async def _wait_for_space(self) -> None:
        """Let the broker catch up: the client's queue is full."""
        self._require_client().poll(0)
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
        """Send one record for Faust's `topic.send`; the returned future ends when the broker has confirmed it."""
        if transactional_id is not None:
            raise DependencyError("Faust's transactions are not supported by this transport")
        confirmed: asyncio.Future[RecordMetadata] = self.loop.create_future()
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        if timestamp is not None:
            options["timestamp"] = int(timestamp * 1000)
        pairs: list[Any] = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
        self._queued.set()
        self._require_client().produce(topic, value, key, headers=pairs, on_delivery=_settle(confirmed), **options)
        return confirmed

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
        """Wait until all is confirmed, at most ten seconds; only deliveries say what was."""
        await self.buffer.flush()
        deadline = self.loop.time() + _FLUSH_SECONDS
        while self.outstanding and self.loop.time() < deadline:
            self._require_client().poll(0)
            await asyncio.sleep(_POLL_INTERVAL_SECONDS)

    async def on_stop(self) -> None:
        """Wait for what is on its way, within bounds."""
        if self._client is not None:
            await self.flush()
            self._client.purge()

    def supports_headers(self) -> bool:
        """Say that headers are sent."""
        return True

    def _require_client(self) -> Client:
        if self._client is None:
            raise DependencyError("the producer is not started")
        return self._client

    def _on_client_error(self, error: KafkaError) -> None:
        """Hear of client-wide troubles: librdkafka overcomes all but fatal ones."""
        if error.fatal():
            self._failure = DependencyError(f"the Kafka producer cannot go on: {error.name()}: {error.str()}")
        else:
            events.BrokerTroubled("producer", error.name()).emit()


def _produce_run(
    produce: Callable[..., None],
    topic: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    start: int,
    stop: int,
    confirm: OnDelivery,
) -> int:
    """Queue records `start` to `stop`; return the first that did not fit. The hot loop: some 2 µs a record."""
    place = start
    try:
        for place in range(start, stop):
            produce(topic, values[place], keys[place], on_delivery=confirm)
    except BufferError:
        return place
    except KafkaException as failure:
        raise _undeliverable(failure) from failure
    return stop


def _undeliverable(failure: KafkaException) -> DependencyError:
    error: KafkaError = failure.args[0]
    return DependencyError(f"a result cannot be sent: {error.name()}: {error.str()}")


def _settle(confirmed: asyncio.Future[RecordMetadata]) -> OnDelivery:
    """Return a delivery callback that ends a future."""

    def on_delivery(error: KafkaError | None, message: Message | None) -> None:
        if confirmed.done() or message is None:
            return
        if error is not None:
            confirmed.set_exception(DependencyError(f"a record could not be delivered: {error.name()}"))
            return
        topic, partition = cast("str", message.topic()), cast("int", message.partition())
        confirmed.set_result(RecordMetadata(topic, partition, TP(topic, partition), cast("int", message.offset())))

    return on_delivery
