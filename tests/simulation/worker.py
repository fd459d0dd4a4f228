"""A worker of the simulation: the product's transport, agent, publisher and guarantees, without Faust."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import numpy as np
from faust.types import TP

from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import Source
from scoring.pipeline import DecodedBatch, Results
from tests.simulation.network import BACKOFF_SECONDS
from tests.simulation.scheduler import Process, Scheduler
from tests.simulation.threads import Event, VirtualLoop
from tests.simulation.transactional import FakeProducer
from tests.support.uci import UCI
from worker.agent import ScoringAgent
from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.exactly_once import ExactlyOnce
from worker.kafka.batch import Bundle
from worker.kafka.committed_offsets import CommittedOffsets
from worker.kafka.consumer import LibrdkafkaConsumer
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_thread import ConsumerThread
from worker.kafka.ledger import Ledger
from worker.kafka.producer import LibrdkafkaProducer
from worker.kafka.transactions import TransactionTimeouts
from worker.publisher import Guarantee, Publisher
from worker.rejection_limit import RejectionLimit
from worker.tracing import NoTracer

PATIENTS: Final = "patients"
SCORES: Final = "scores"
DEAD_LETTERS: Final = "dead-letters"
_FLUSH_SECONDS: Final = 3.0
_ISSUES: Final = (ValidationIssue(RejectionCode.MISSING_FIELD, "age", "is missing"),)
TIMEOUTS: Final = TransactionTimeouts(call=1.5, silence=4.0, pause=0.2, total=30.0)


class SimulatedConsumerThread(ConsumerThread):
    """The product's consumer thread, as a simulated one."""

    def start(self) -> None:
        self._ended = Event()
        process = VirtualLoop.running().process
        process.scheduler.spawn(process, self._run)

    def _run(self) -> None:
        self.run()
        self._ended.set()

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return not self._ended.is_set()


class _Service:
    """The parts of Faust's services that the product's consumer and producer use."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = asyncio.Event()

    @property
    def should_stop(self) -> bool:
        return self._is_stopping.is_set()

    def add_future(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001  # it ends the worker
            self._fail(error)

    async def crash(self, error: BaseException) -> None:
        self._fail(error)

    async def sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._is_stopping.wait()
        except TimeoutError:
            pass

    async def add_runtime_dependency(self, _service: object) -> None:
        pass

    async def _stop_futures(self) -> None:
        self._is_stopping.set()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    buffer: Any = None


class SimulatedProducer(_Service, LibrdkafkaProducer):
    """The product's producer."""


class SimulatedConsumer(_Service, LibrdkafkaConsumer):
    """The product's consumer. `bundles` is the queue of Faust's stream, which holds one."""

    def __init__(self, fail: Callable[[BaseException], None]) -> None:
        super().__init__(fail)
        self.bundles: asyncio.Queue[Bundle] = asyncio.Queue(1)
        self.app = SimpleNamespace(on_rebalance_start=lambda: None, consumer_generation_id=0, crashed=False)
        self.callback = self._put

    async def on_partitions_assigned(self, _owned: set[TP], _generation: int) -> None:
        await asyncio.sleep(0)

    async def _put(self, message: Any) -> None:
        await self.bundles.put(message.value)

    async def stream(self) -> AsyncIterator[Bundle]:
        while True:
            yield await self.bundles.get()


class Scores:
    """Replaces the model: a score has the position of its record, and the model's version."""

    def __init__(self, version: int) -> None:
        self.version = version

    compiled = UCI
    """Records are never decoded here."""

    def score(self, batch: DecodedBatch) -> Results:
        sources = [source for source in batch.sources or () if source is not None]
        rejected = {place: _ISSUES for place, source in enumerate(sources) if source.offset % 11 == 7}
        places = [place for place in range(len(sources)) if place not in rejected]
        scores: Any = [self._score(sources[place]) for place in places]
        numbers = np.zeros(len(places))
        return Results(places, numbers[:, None], numbers, numbers > 0, scores, [], rejected)

    def _score(self, source: Source) -> msgspec.Raw:
        return msgspec.Raw(b"%d/%d@%d" % (source.partition, source.offset, self.version))


class Worker:
    """A worker process. `ended` has an error, or None if it was stopped and did stop."""

    def __init__(self, scheduler: Scheduler, name: str, *, is_exactly_once: bool, version: int) -> None:
        self.process = Process(scheduler, name)
        self.is_exactly_once = is_exactly_once
        self.model = Scores(version)
        self.has_ended = False
        self.error: BaseException | None = None
        self._failed: BaseException | None = None
        self._loop = VirtualLoop(self.process)
        self._stop = asyncio.Event()
        self._loop.call_soon(lambda: setattr(self, "_main", self._loop.create_task(self._run())))
        self.consumer: SimulatedConsumer | None = None
        self.producer: SimulatedProducer | None = None

    @property
    def name(self) -> str:
        """Return its name."""
        return self.process.name

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return not self.process.is_dead and not self.has_ended

    def is_busy(self) -> bool:
        """Whether it has records in flight."""
        return self.consumer is not None and any(
            assignment.batches for assignment in self.consumer.ledger._assignments.values()
        )

    def has_partitions(self) -> bool:
        """Whether it owns partitions."""
        return self.consumer is not None and bool(self.consumer.ledger._assignments)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self.process.is_dead = True
        self._loop.end()

    def terminate(self) -> None:
        """Stop it gracefully (SIGTERM)."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def client(self) -> FakeProducer | None:
        """Return the producer's client."""
        return None if self.producer is None else self.producer._client  # type: ignore[return-value]

    def _fail(self, error: BaseException) -> None:
        self._failed = self._failed or error
        if self.consumer is not None:
            self.consumer.app.crashed = True
        self._stop.set()

    def _build(self) -> tuple[Publisher, ScoringAgent]:
        ledger = Ledger()
        self.producer = producer = SimulatedProducer(self._fail)
        self.consumer = consumer = SimulatedConsumer(self._fail)
        producer.client_config = _producer_config(self.name, is_exactly_once=self.is_exactly_once)
        producer.timeouts, producer.new_client = TIMEOUTS, FakeProducer
        consumer.ledger, consumer.options = ledger, _options(is_exactly_once=self.is_exactly_once)
        limit = RejectionLimit(1_000_000, 1.0)
        guarantee: Guarantee = AtLeastOnce(lambda: producer, SCORES)
        if self.is_exactly_once:
            committed = CommittedOffsets({}, "group")
            guarantee = ExactlyOnce(lambda: producer, SCORES, ledger, lambda: consumer, committed.read)
        publisher = Publisher(guarantee, ledger, 20, 12, self._loop.time)
        return publisher, ScoringAgent(self.model, ledger, publisher, DEAD_LETTERS, limit, NoTracer())

    async def _run(self) -> None:
        publisher, agent = self._build()
        consumer, producer = self.consumer, self.producer
        if consumer is None or producer is None:
            raise AssertionError("they were built")
        try:
            await producer.on_start()
            producer.add_future(publisher.run())
            consumer.add_future(agent.run(consumer.stream()))
            fetcher = self._loop.create_task(consumer._drain_messages(consumer))
            await consumer.subscribe([PATIENTS])
            await self._stop.wait()
            await self._shut_down(consumer, producer, fetcher)
        except Exception as error:  # noqa: BLE001  # an error of this fake, or of the product's shutdown
            self._failed = self._failed or error
        self.error, self.has_ended = self._failed, True
        self.process.is_dead = True

    async def _shut_down(
        self, consumer: SimulatedConsumer, producer: SimulatedProducer, fetcher: asyncio.Task[None]
    ) -> None:
        """Shut down in the order of Faust: drain, flush, stop the consumer, then the producer."""
        if consumer.assignment():
            fetcher.cancel()
            await consumer.wait_empty()
        deadline = self._loop.time() + _FLUSH_SECONDS
        while producer.in_flight and self._loop.time() < deadline:
            producer._poll()
            await asyncio.sleep(0.05)
        await consumer.on_stop()
        fetcher.cancel()
        await consumer._stop_futures()
        await producer.on_stop()


def _options(*, is_exactly_once: bool) -> ConsumerOptions:
    return ConsumerOptions(
        client_config={"group.id": "group"},
        admin_config={},
        batch_records=4,
        commit_interval=None if is_exactly_once else 0.5,
        drain_timeout=6.0,
        revoke_timeout=6.0,
        # No law may depend on the stall detector.
        stall_limit=600.0,
        disconnected_limit=8.0,
        expulsion_limit=10.0,
    )


def _producer_config(name: str, *, is_exactly_once: bool) -> dict[str, object]:
    config: dict[str, object] = {"queue.buffering.max.messages": 10, "message.timeout.ms": 5_000}
    if is_exactly_once:
        config |= {"transactional.id": f"group-{name}", "transaction.timeout.ms": 6_000, "message.timeout.ms": 6_000}
        config["retry.backoff.ms"] = round(1000 * BACKOFF_SECONDS)
    return config
