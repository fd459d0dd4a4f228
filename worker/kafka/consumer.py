"""Faust's consumer as a facade of the `ConsumerThread`.

Replaces stock Faust's reading (`_drain_messages`), acknowledging and committing. Stock Faust acknowledges in a
`finally`, so an exception in the agent loses the batch, and it can commit past batches in flight. Here nothing is
acknowledged (topics have acks=False), and only the ledger decides what is committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from faust.transport.consumer import Consumer as FaustConsumer
from faust.types import TP, ConsumerMessage, ServiceT

from runtime import events
from schemas.errors import DependencyError
from worker.kafka.batch import BatchState, Bundle
from worker.kafka.batch_queue import BatchQueue
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_thread import ConsumerThread
from worker.kafka.ledger import Ledger
from worker.kafka.topic_check import TopicCheck

_SILENCE_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 15.0
"""For the last commit, which may take ten, and leaving the group."""


class LibrdkafkaConsumer(FaustConsumer):
    """Delivers bundles of record batches as Faust messages, and commits batches with confirmed results."""

    options: ConsumerOptions
    ledger: Ledger
    joined: bool = False
    """Whether the group has given this worker an assignment, even an empty one."""
    topic_check: TopicCheck
    """For transactions; set by `subscribe`."""
    _thread: ConsumerThread | None = None
    _changes: int = 0

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for one topic; called by Faust's conductor when its agents have started."""
        (topic,) = topics
        if self._thread is not None:
            raise DependencyError("subscriptions cannot change while the worker runs")
        loop = asyncio.get_running_loop()
        self._settled = asyncio.Event()
        self._updating = asyncio.Lock()
        self._queue = BatchQueue(loop, limit=2 * self.options.batch_records)
        self._thread = ConsumerThread(
            self.options,
            topic,
            self.ledger,
            self._queue,
            on_assignment=lambda owned: _call_in(loop, self._assignment_changed, owned),
            on_failure=lambda error: _call_in(loop, self._thread_failed, error),
        )
        self._thread.start()
        self.topic_check = TopicCheck(self.options.admin_config, topic, self._thread.identity.verify)

    def _assignment_changed(self, owned: set[TP]) -> None:
        """Suspend reading until Faust knows its partitions. Batches that Faust already has are kept."""
        self._settled.clear()
        self._changes += 1
        if not self.should_stop:
            self.add_future(self._update_faust(owned, self._changes))

    async def _update_faust(self, owned: set[TP], change: int) -> None:
        """Pass changes on to Faust one at a time; reading resumes after the latest."""
        self.joined = True
        async with self._updating:
            self.app.on_rebalance_start()
            await self.on_partitions_assigned(owned, self.app.consumer_generation_id)
            if change == self._changes:
                self._settled.set()

    def _thread_failed(self, error: BaseException) -> None:
        self.add_future(self.crash(error))

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Deliver bundles to Faust, each as one message; Faust's fetcher runs this until it stops.

        Stock Faust creates tasks and timers for each message here, to cancel it when flow is suspended, and drops
        messages before the last offset it saw. Here the ledger decides which batches may be started.
        """
        try:
            while not fetcher.should_stop:
                taken = await self._queue.take()
                # Faust may not know the partitions of these batches yet.
                await self._settled.wait()
                bundle = tuple(batch for batch in taken if batch.state is BatchState.WAITING)
                if bundle:
                    await self.callback(self._to_message(bundle[0].tp, bundle))
        except asyncio.CancelledError:
            # A cancellation while partitions are assigned is a crash for Faust's fetcher, even if it is to stop.
            if not fetcher.should_stop:
                raise

    def _to_message(self, tp: TP, record: Bundle) -> ConsumerMessage:
        """Wrap a bundle as a message of its first batch's partition; Faust uses that only to find the agent."""
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=record[0].next_offset - 1,
            timestamp=time.time(),
            timestamp_type=0,
            headers=None,
            key=None,
            value=record,  # type: ignore[arg-type]  # Faust's schema hands it through undecoded
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def wait_empty(self) -> None:
        """Drain: wait, within the time limit, for started batches; the partitions' next owners read the rest again."""
        tps = self.ledger.owned()
        self.ledger.close(tps)
        # After a crash, no batch can finish.
        bound = 0.0 if self.app.crashed else self.options.drain_timeout
        drained = await asyncio.to_thread(self.ledger.wait_idle, tps, bound)
        if self._thread is not None:
            self._thread.stop_waiting()
        events.WorkerDrained(drained).emit()

    async def on_stop(self) -> None:
        """Commit, leave the group, and wait for the thread to end."""
        if self._thread is None or not self._thread.is_alive():
            return
        if self.app.crashed:
            self._thread.stop_waiting()
        self._thread.stop()
        await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
        if self._thread.is_alive():
            events.KafkaClientError("consumer", "_TIMED_OUT").emit()

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002
        """Do nothing: the consumer thread commits."""
        return False

    async def perform_seek(self) -> None:
        """Do nothing: librdkafka starts each partition at its committed offset."""

    def group_metadata(self) -> object:
        """Return the group metadata for transactions, as last refreshed by the consumer thread."""
        return None if self._thread is None else self._thread.client.commits.group_metadata

    def record_transaction(self, *, is_refused: bool) -> None:
        """Record whether the group refused a transaction because it does not know the member."""
        if self._thread is not None:
            self._thread.client.expulsion.record(is_refused=is_refused, now=time.monotonic())

    def is_polling(self) -> bool:
        """Whether the consumer thread is polling; true before it starts."""
        if self._thread is None:
            return True
        silence = time.monotonic() - self._thread.last_active_at
        return self._thread.is_alive() and silence < _SILENCE_SECONDS + self.options.revoke_timeout

    @property
    def thread(self) -> ConsumerThread | None:
        """The consumer thread, for health checks; None before it starts."""
        return self._thread

    def assignment(self) -> set[TP]:
        """Return the owned partitions."""
        return self.ledger.owned()

    def highwater(self, tp: TP) -> int:  # noqa: ARG002  # Faust's signature
        """Return 0: the consumer thread measures lag."""
        return 0

    def close(self) -> None:
        """Do nothing: `on_stop` closes."""

    # Needed only by Faust's tables and standbys, which this worker does not have.

    async def create_topic(self, *_args: Any, **_kwargs: Any) -> None:
        """Raise: topics are created by their owners."""
        _unsupported("creating topics")

    async def _getmany(self, active_partitions: object, timeout: float) -> NoReturn:  # noqa: ARG002, ASYNC109
        _unsupported("reading without batches")

    async def _commit(self, offsets: Mapping[TP, int]) -> NoReturn:  # noqa: ARG002
        _unsupported("committing from the event loop")

    async def _seek(self, partition: TP, offset: int) -> NoReturn:  # noqa: ARG002
        _unsupported("seeking")

    async def seek_to_committed(self) -> NoReturn:  # noqa: D102
        _unsupported("seeking")

    async def seek_wait(self, partitions: Mapping[TP, int]) -> NoReturn:  # noqa: ARG002, D102
        _unsupported("seeking")

    async def position(self, tp: TP) -> NoReturn:  # noqa: ARG002, D102
        _unsupported("positions")

    async def earliest_offsets(self, *partitions: TP) -> NoReturn:  # noqa: ARG002, D102
        _unsupported("offset look-ups")

    async def highwaters(self, *partitions: TP) -> NoReturn:  # noqa: ARG002, D102
        _unsupported("offset look-ups")

    def topic_partitions(self, topic: str) -> int | None:  # noqa: ARG002, D102
        return None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:  # noqa: ARG002, D102
        return partition

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)


def _unsupported(what: str) -> NoReturn:
    raise DependencyError(f"{what} is not supported by this transport: it serves stateless agents")


def _call_in(loop: asyncio.AbstractEventLoop, function: Any, argument: Any) -> None:
    """Call a function on the event loop from another thread, unless the loop is closed."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, argument)
