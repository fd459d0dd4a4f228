"""The consumer thread, on a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from faust.types import TP

from runtime import events
from runtime.kafka.config import admin_config, consumer_config
from runtime.settings import Settings
from tests.support.brokers import cut_off
from tests.support.stream import PARTITIONS, Stream
from worker.kafka import consumer_client
from worker.kafka.batch import RecordBatch
from worker.kafka.batch_queue import BatchQueue
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_thread import ConsumerThread
from worker.kafka.ledger import Ledger

P = TypeVar("P", bound=ConsumerThread)


class PausingConsumerThread(ConsumerThread):
    """Pauses its partitions once, on its own thread, as the client is not shared between threads."""

    victims: Collection[int] = range(PARTITIONS)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.pause_now, self.has_paused = threading.Event(), threading.Event()

    def _iterate(self) -> None:
        if self.pause_now.is_set():
            consumer = self.client.consumer
            consumer.pause([each for each in consumer.assignment() if each.partition in self.victims])
            self.pause_now.clear()
            self.has_paused.set()
        super()._iterate()


@contextmanager
def polling(
    stream: Stream, kind: type[P], **client: object
) -> Iterator[tuple[P, Ledger, BatchQueue, list[BaseException]]]:
    """Run a consumer thread with its own group."""
    names = {"BOOTSTRAP_SERVERS": stream.address}
    settings = Settings.from_mapping({f"HEARTSTREAM_KAFKA__{name}": text for name, text in names.items()})
    config = {**consumer_config(settings), "group.id": f"stall-{stream.topics.patients}", **client}
    ledger, queue = Ledger(), BatchQueue(asyncio.get_running_loop(), 200)
    options = ConsumerOptions(
        config,
        admin_config(settings.kafka),
        100,
        commit_interval=0.2,
        drain_timeout=5,
        revoke_timeout=5,
        stall_limit=2,
        disconnected_limit=2,
    )
    failures: list[BaseException] = []
    consumer_thread = kind(options, stream.topics.patients, ledger, queue, lambda _: None, failures.append)
    consumer_thread.start()
    try:
        yield consumer_thread, ledger, queue, failures
    finally:
        consumer_thread.stop()
        consumer_thread.join()


async def test_a_partition_that_stays_paused_is_sought(stream: Stream) -> None:
    """A partition that stays paused unintentionally (librdkafka #5591) is detected and sought to its position."""
    with polling(stream, PausingConsumerThread) as (consumer_thread, ledger, queue, failures):
        stream.send(b"first", b"key")
        stream.flush()
        (first,) = await asyncio.wait_for(queue.take(), 60)
        assert ledger.start(first)
        ledger.finish(first)
        consumer_thread.pause_now.set()
        await asyncio.to_thread(consumer_thread.has_paused.wait, 60)
        stream.send(b"second", b"key")
        stream.flush()
        (second,) = await asyncio.wait_for(queue.take(), 60)
        assert (second.values(), second.tp, failures) == ([b"second"], TP(*first.tp), [])


async def test_a_partition_that_stays_paused_beside_busy_ones_is_sought(stream: Stream) -> None:
    """The other partitions progress all the time, with results in flight."""
    with polling(stream, PausingConsumerThread) as (consumer_thread, ledger, queue, failures):
        stream.send(b"first", b"key")
        stream.flush()
        (first,) = await asyncio.wait_for(queue.take(), 60)
        assert ledger.start(first)
        ledger.finish(first)
        consumer_thread.victims = {first.tp.partition}
        consumer_thread.pause_now.set()
        await asyncio.to_thread(consumer_thread.has_paused.wait, 60)
        stream.send(b"second", b"key")
        found = await asyncio.wait_for(next_beside_others(stream, ledger, queue, first.tp), 60)
        assert (found.values()[0], failures) == (b"second", [])


async def next_beside_others(stream: Stream, ledger: Ledger, queue: BatchQueue, tp: TP) -> RecordBatch:
    """Keep other partitions busy, with one of their batches always in flight, until this one has a batch."""
    under_way: RecordBatch | None = None
    while True:
        for number in range(20):
            stream.send(b"other", b"%d" % number)
        for batch in await queue.take():
            if batch.tp == tp:
                return batch
            assert ledger.start(batch)
            if under_way is not None:
                ledger.finish(under_way)
            under_way = batch


async def test_transaction_markers_at_the_end_are_not_lag(stream: Stream) -> None:
    """A partition that ends with a transaction marker is finished with its last record."""
    producer = Producer(
        {"bootstrap.servers": stream.address, "transactional.id": stream.topics.patients, "log_level": 2}
    )
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(stream.topics.patients, b"in a transaction", b"key")
    producer.commit_transaction(60)
    with polling(stream, ConsumerThread) as (consumer_thread, ledger, queue, failures):
        (batch,) = await asyncio.wait_for(queue.take(), 60)
        assert ledger.start(batch)
        ledger.finish(batch)
        topic, partition = batch.tp
        line = f'heartstream_consumer_lag_records{{partition="{partition}",topic="{topic}"}} 0.0'
        async with asyncio.timeout(60):
            while line not in events.render_metrics()[0].decode():  # noqa: ASYNC110  # a metric cannot be awaited
                await asyncio.sleep(0.05)
        assert (consumer_thread.is_alive(), failures) == (True, [])


async def test_a_consumer_thread_under_back_pressure_stays_responsive(stream: Stream) -> None:
    """While nothing takes the read batches the thread still reports itself as alive, and loses nothing."""
    for number in range(1_000):
        stream.send(b"%d" % number, b"key")
    stream.flush()
    with polling(stream, ConsumerThread) as (consumer_thread, ledger, queue, failures):
        async with asyncio.timeout(60):
            while not queue.is_full():  # noqa: ASYNC110  # filled by another thread
                await asyncio.sleep(0.05)
            held = consumer_thread.last_active_at
            while consumer_thread.last_active_at < held + 8:  # noqa: ASYNC110  # longer than the wait before a pause
                await asyncio.sleep(0.05)
        values: list[bytes | None] = []
        while len(values) < 1_000:
            for batch in await asyncio.wait_for(queue.take(), 30):
                assert ledger.start(batch)
                values += batch.values()
                ledger.finish(batch)
        assert (values, failures) == ([b"%d" % number for number in range(1_000)], [])


class WatchedConsumerThread(ConsumerThread):
    """Signals when it has replaced a client."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.replaced = threading.Event()

    def _replace_client(self) -> None:
        super()._replace_client()
        self.replaced.set()


@pytest.mark.parametrize("instance", [{}, {"group.instance.id": "one"}])
async def test_a_client_that_lost_its_group_and_its_broker_is_replaced(
    own_stream: Stream, instance: dict[str, object]
) -> None:
    """A new client joins when the broker is back and continues at the committed offset; nothing is repeated."""
    stream, soon = own_stream, {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 500, **instance}
    with polling(stream, WatchedConsumerThread, **soon) as (consumer_thread, ledger, queue, failures):
        stream.send(b"first", b"key")
        stream.flush()
        (first,) = await asyncio.wait_for(queue.take(), 60)
        assert ledger.start(first)
        ledger.finish(first)
        await asyncio.to_thread(stream.await_commits, f"stall-{stream.topics.patients}")
        with cut_off(stream.address):
            assert await asyncio.to_thread(consumer_thread.replaced.wait, 120)
        stream.send(b"second", b"key")
        stream.flush()
        (second,) = await asyncio.wait_for(queue.take(), 120)
        assert (second.values(), consumer_thread.client.is_member, failures) == ([b"second"], True, [])


class ConsumerWithoutOffsets(Consumer):
    """A client that cannot read committed offsets."""

    asked: threading.Event

    def committed(self, *_arguments: Any, **_options: Any) -> list[TopicPartition]:
        self.asked.set()
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


async def test_a_thread_that_is_stopped_during_an_assignment_leaves_its_group_at_once(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It assigns no partitions and neither tries for a minute nor lets its session expire."""
    ConsumerWithoutOffsets.asked = threading.Event()
    monkeypatch.setattr(consumer_client, "Consumer", ConsumerWithoutOffsets)
    with polling(stream, ConsumerThread, **{"session.timeout.ms": 250_000}) as (consumer_thread, ledger, _, failures):
        assert await asyncio.to_thread(ConsumerWithoutOffsets.asked.wait, 60)
        consumer_thread.stop()
        await asyncio.to_thread(consumer_thread.join, 20)
        assert (consumer_thread.is_alive(), ledger.owned(), failures) == (False, set(), [])
        await asyncio.to_thread(stream.await_members, f"stall-{stream.topics.patients}", 0)
