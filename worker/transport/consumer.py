"""Faust's consumer, as a front for the `Poller` thread.

Taken over from stock Faust: reading (`_drain_messages`), and everything about acknowledging and committing. Stock Faust
acknowledges in a `finally`, so an exception in the agent would lose the batch, and its arithmetic commits past batches
that are still in flight. Here nothing is acknowledged (topics are declared with acks=False) and only the ledger counts.
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
from worker.transport.batch import BatchState, Bundle
from worker.transport.handoff import Handoff
from worker.transport.ledger import Ledger
from worker.transport.options import ConsumerOptions
from worker.transport.poller import Poller
from worker.transport.topic_check import TopicCheck

_SILENCE_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 15.0
"""To commit for the last time, which may take ten, and to leave the group."""


class LibrdkafkaConsumer(FaustConsumer):
    """Reads record batches, a bundle a Faust message, and commits what has a confirmed outcome."""

    options: ConsumerOptions
    ledger: Ledger
    joined: bool = False
    """Whether the group has given this worker an assignment, if only an empty one."""
    topic_check: TopicCheck
    """For transactions, once subscribed."""
    _poller: Poller | None = None
    _changes: int = 0

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group for one topic; Faust's conductor calls this once its agents have started."""
        (topic,) = topics
        if self._poller is not None:
            raise DependencyError("subscriptions cannot change while the worker runs")
        loop = asyncio.get_running_loop()
        self._settled = asyncio.Event()
        self._telling = asyncio.Lock()
        self._handoff = Handoff(loop, limit=2 * self.options.batch_records)
        self._poller = Poller(
            self.options,
            self.ledger,
            self._handoff,
            on_assignment=lambda owned: _call_in(loop, self._assignment_changed, owned),
            on_failure=lambda error: _call_in(loop, self._poller_failed, error),
        )
        self._poller.subscribe(topic)
        self.topic_check = TopicCheck(self.options.admin_config, topic, self._poller.identity.verify)

    def _assignment_changed(self, owned: set[TP]) -> None:
        """Hold reading until Faust knows its partitions. A batch that Faust has already keeps its place."""
        self._settled.clear()
        self._changes += 1
        if not self.should_stop:
            self.add_future(self._tell_faust(owned, self._changes))

    async def _tell_faust(self, owned: set[TP], change: int) -> None:
        """Tell Faust of one change after the other; reading goes on when it knows the latest."""
        self.joined = True
        async with self._telling:
            self.app.on_rebalance_start()
            await self.on_partitions_assigned(owned, self.app.consumer_generation_id)
            if change == self._changes:
                self._settled.set()

    def _poller_failed(self, error: BaseException) -> None:
        self.add_future(self.crash(error))

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        """Give Faust bundles as they come, each as one message; Faust's fetcher runs this until it stops.

        Stock Faust makes tasks and timers for each message here, so as to let go of it when the flow is suspended, and
        drops what lies before the last offset that it saw. The ledger knows better what may be started.
        """
        while not fetcher.should_stop:
            taken = await self._handoff.take()
            # Faust may not know yet of the partitions that these batches are from.
            await self._settled.wait()
            bundle = tuple(batch for batch in taken if batch.state is BatchState.WAITING)
            if bundle:
                await self.callback(self._to_message(bundle[0].tp, bundle))

    def _to_message(self, tp: TP, record: Bundle) -> ConsumerMessage:
        """Wrap a bundle; for Faust it comes from its first batch's partition, which it only uses to find the agent."""
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
        """Drain: let what was started be confirmed, within bounds; what was not started is read again by the next."""
        tps = self.ledger.owned()
        self.ledger.close(tps)
        # After a crash nobody is left to finish anything.
        bound = 0.0 if self.app.crashed else self.options.drain_timeout
        drained = await asyncio.to_thread(self.ledger.wait_idle, tps, bound)
        if self._poller is not None:
            self._poller.wait_no_more()
        events.WorkerDrained(drained).emit()

    async def on_stop(self) -> None:
        """Commit, leave the group, and wait for the thread to end."""
        if self._poller is None or not self._poller.is_alive():
            return
        if self.app.crashed:
            self._poller.wait_no_more()
        self._poller.stop()
        await asyncio.to_thread(self._poller.join, _CLOSE_SECONDS)
        if self._poller.is_alive():
            events.KafkaClientError("consumer", "_TIMED_OUT").emit()

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002
        """Leave committing to the thread that owns the consumer."""
        return False

    async def perform_seek(self) -> None:
        """Stay: librdkafka starts every partition at its committed offset."""

    def group_metadata(self) -> object:
        """Return the consumer's membership as transactions need it: as of its thread's last look."""
        return None if self._poller is None else self._poller.commits.group_metadata

    def note_transaction(self, *, is_refused: bool) -> None:
        """Hear whether the group refused a transaction, as it does not know its member."""
        if self._poller is not None:
            self._poller.expulsion.note(is_refused=is_refused, now=time.monotonic())

    def is_polling(self) -> bool:
        """Say whether the thread that owns the consumer comes round; true before it starts."""
        if self._poller is None:
            return True
        silence = time.monotonic() - self._poller.last_turn
        return self._poller.is_alive() and silence < _SILENCE_SECONDS + self.options.revoke_timeout

    @property
    def poller(self) -> Poller | None:
        """The thread that owns the consumer, for those who watch over it; None before it starts."""
        return self._poller

    def assignment(self) -> set[TP]:
        """Return the owned partitions."""
        return self.ledger.owned()

    def highwater(self, tp: TP) -> int:  # noqa: ARG002  # Faust's signature
        """Return 0: lag is measured by the thread that owns the consumer."""
        return 0

    def close(self) -> None:
        """Do nothing: `on_stop` closes."""

    # What Faust's tables and standbys would need. This worker has none.

    async def create_topic(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse: topics are made by their owners."""
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
    """Call a function on the event loop from another thread; a loop that is already closed needs nothing any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, argument)
