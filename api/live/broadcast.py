"""`GET /stream/events`: live statistics of the stream, as server-sent events.

A thread reads the topics from their ends, without a consumer group and without commits. It keeps no patient id of a
score, and only the timestamp of a patient record. Once a second each subscriber gets a snapshot; slow readers miss
some.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from api.live.stats import LiveStats
from api.problem_details import ProblemError
from runtime import events
from runtime.kafka.config import standalone_consumer_config
from runtime.kafka.messages import headers_of, timestamp_of
from runtime.logs import CLIENT_LOG
from runtime.settings import Settings, Topics
from schemas.codec import UNDECODABLE, decode_dead_letter, decode_score
from schemas.records import Source
from schemas.topics import DEAD_LETTER_HEADER

PATH: Final = "/stream/events"
_MAX_SUBSCRIBERS: Final = 20
_QUEUED_SNAPSHOTS: Final = 2
_SNAPSHOT_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 5.0
_WRITE_TIMEOUT_SECONDS: Final = 10.0
_MAX_MESSAGES: Final = 1_000
_POLL_SECONDS: Final = 0.2
_REQUEST_TIMEOUT_SECONDS: Final = 5.0
_REDISCOVERY_SECONDS: Final = 15.0
"""Topics may be created, or get more partitions, later."""
_BACKOFF_SECONDS: Final = 1.0
_LAG_SECONDS: Final = 2.0
_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


def add_live_routes(application: web.Application, settings: Settings) -> None:
    """Add the live view to a gateway; the topics are read while the application runs."""
    stats, lock = LiveStats(time.monotonic), threading.Lock()
    broadcast = Broadcast(lambda: _snapshot(stats, lock))

    async def read_topics(_application: web.Application) -> AsyncIterator[None]:
        reader = TopicReader(settings, stats, lock)
        reader.start()
        publishing = asyncio.create_task(broadcast.publish())
        yield
        publishing.cancel()
        await asyncio.to_thread(reader.stop)

    application.cleanup_ctx.append(read_topics)
    application.on_shutdown.append(broadcast.close)
    application.router.add_get(PATH, broadcast.events, allow_head=False)


def _snapshot(stats: LiveStats, lock: threading.Lock) -> bytes:
    with lock:
        snapshot = stats.snapshot()
    return b"data: " + msgspec.json.encode(snapshot) + b"\n\n"


class Broadcast:
    """Sends each event to all subscribers, in bounded memory."""

    def __init__(self, snapshot: Callable[[], bytes]) -> None:
        """`snapshot` returns an event; it is called only while there are subscribers."""
        self._snapshot = snapshot
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        self._closing = False

    async def publish(self) -> None:
        """Publish a snapshot per second, forever."""
        while True:
            await asyncio.sleep(_SNAPSHOT_SECONDS)
            self.publish_once()

    def publish_once(self) -> None:
        """Queue a snapshot for each subscriber that has read the previous ones."""
        if not self._queues:
            return
        event = self._snapshot()
        for queue in self._queues:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(event)

    async def close(self, _application: web.Application) -> None:
        """End all subscriptions, so that the gateway can stop."""
        self._closing = True
        for queue in self._queues:
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)

    def subscribe(self) -> asyncio.Queue[bytes | None]:
        """Return a queue of events that ends with None; raises ProblemError (503) if there are too many subscribers."""
        if self._closing or len(self._queues) >= _MAX_SUBSCRIBERS:
            detail = f"At most {_MAX_SUBSCRIBERS} clients may be connected to the live stream."
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_seconds=_RETRY_SECONDS)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUED_SNAPSHOTS)
        queue.put_nowait(self._snapshot())
        self._queues.add(queue)
        return queue

    def unsubscribe(self, queue: asyncio.Queue[bytes | None]) -> None:
        """Remove a subscriber."""
        self._queues.discard(queue)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client disconnects, or reads nothing for ten seconds."""
        queue, response = self.subscribe(), web.StreamResponse(headers=_HEADERS)
        try:
            await response.prepare(request)
            while (event := await queue.get()) is not None:
                async with asyncio.timeout(_WRITE_TIMEOUT_SECONDS):
                    await response.write(event)
        except ConnectionError:
            # The client has disconnected, which is how a subscription ends.
            pass
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.unsubscribe(queue)
        return response


class TopicReader(threading.Thread):
    """Reads the topics from their ends into statistics, and retries while the broker is unavailable."""

    def __init__(self, settings: Settings, stats: LiveStats, lock: threading.Lock) -> None:
        """`lock` guards `stats`, which other threads read."""
        super().__init__(name="live-reader", daemon=True)
        self._config = _client_config(settings)
        self._group = settings.worker.group_id
        self._topics = settings.topics
        self._stats = stats
        self._lock = lock
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop, and wait for the thread. Blocks for some seconds if the broker is unavailable."""
        self._stopping.set()
        self.join(_REQUEST_TIMEOUT_SECONDS)

    def run(self) -> None:
        """Read until stopped."""
        consumer = Consumer(self._config, logger=CLIENT_LOG)
        # Only for the workers' offsets: it subscribes to nothing, and so does not join their group.
        group_client = Consumer({**self._config, "group.id": self._group}, logger=CLIENT_LOG)
        try:
            while not self._stopping.is_set():
                try:
                    self._read_until_rediscovery(consumer, group_client)
                except KafkaException as failure:
                    self._set_connected(connected=False)
                    events.KafkaClientError("live", failure.args[0].name()).emit()
                    self._stopping.wait(_BACKOFF_SECONDS)
        finally:
            consumer.close()
            group_client.close()

    def _read_until_rediscovery(self, consumer: Consumer, group_client: Consumer) -> None:
        """Assign new partitions, and read until it is time to look for more."""
        known = {(each.topic, each.partition) for each in consumer.assignment()}
        new = [
            partition
            for partition in _partitions(consumer, self._topics)
            if (partition.topic, partition.partition) not in known
        ]
        for partition in new:
            partition.offset = consumer.get_watermark_offsets(partition, timeout=_REQUEST_TIMEOUT_SECONDS)[1]
        if new:
            consumer.incremental_assign(new)
        self._set_connected(connected=True)
        # Without partitions, look again soon: the topics may be created any moment.
        seconds = _REDISCOVERY_SECONDS if known or new else _BACKOFF_SECONDS
        deadline, measure_at = time.monotonic() + seconds, 0.0
        patient_partitions = [
            partition for partition in consumer.assignment() if partition.topic == self._topics.patients
        ]
        while time.monotonic() < deadline and not self._stopping.is_set():
            if time.monotonic() >= measure_at:
                self._measure_lag(group_client, patient_partitions)
                measure_at = time.monotonic() + _LAG_SECONDS
            messages = consumer.consume(_MAX_MESSAGES, _POLL_SECONDS)
            with self._lock:
                for message in messages:
                    self._add_message(message)

    def _measure_lag(self, group_client: Consumer, patient_partitions: list[TopicPartition]) -> None:
        """Sum up the group's lag; of a partition without a commit, all its records."""
        wanted = [TopicPartition(partition.topic, partition.partition) for partition in patient_partitions]
        lag = 0
        for partition in group_client.committed(wanted, timeout=_REQUEST_TIMEOUT_SECONDS):
            low, high = group_client.get_watermark_offsets(partition, timeout=_REQUEST_TIMEOUT_SECONDS)
            lag += max(0, high - (partition.offset if partition.offset >= 0 else low))
        with self._lock:
            self._stats.lag = lag if patient_partitions else None

    def _set_connected(self, *, connected: bool) -> None:
        with self._lock:
            self._stats.connected = connected

    def _add_message(self, message: Message) -> None:
        """Add one message; unreadable ones are skipped."""
        if message.error() is not None:
            return
        partition, offset = int(message.partition() or 0), int(message.offset() or 0)
        topic = str(message.topic())
        with contextlib.suppress(*UNDECODABLE):
            if topic == self._topics.scores:
                if self._stats.count_score():
                    score = decode_score(message.value() or b"")
                    self._stats.add_score(score, Source(topic, partition, offset), timestamp_of(message))
            elif topic == self._topics.dead_letters:
                self._stats.add_dead_letter(decode_dead_letter(_reason(message)))
            elif (at := timestamp_of(message)) is not None:
                self._stats.add_record(partition, offset, at)


def _reason(message: Message) -> bytes:
    """Return the header with the errors, empty without one."""
    return dict(headers_of(message)).get(DEAD_LETTER_HEADER) or b""


def _partitions(consumer: Consumer, topics: Topics) -> list[TopicPartition]:
    """Return all partitions. Raises KafkaException if the broker does not respond."""
    found = consumer.list_topics(timeout=_REQUEST_TIMEOUT_SECONDS).topics
    names = (topics.patients, topics.scores, topics.dead_letters)
    return [TopicPartition(name, number) for name in names if name in found for number in found[name].partitions]


def _client_config(settings: Settings) -> dict[str, object]:
    """Return librdkafka's configuration: little memory, from the end of each topic."""
    return {
        **standalone_consumer_config(settings, "heartstream-live"),
        "auto.offset.reset": "latest",
        "enable.partition.eof": False,
        "queued.max.messages.kbytes": 8_192,
        "error_cb": _on_client_error,
    }


def _on_client_error(error: KafkaError) -> None:
    """Log problems that librdkafka recovers from by itself."""
    events.KafkaClientError("live", error.name()).emit()
