"""Kafka transactions: results, dead letters and consumed offsets become visible together, or not at all.

librdkafka's calls block, so each runs in a thread. What its errors mean is decided here: some pass, some need the
transaction to be aborted and done again, and the rest end the process (above all: another producer took over the id).

Some calls block for ever, whatever time they are given: after a broker was away, the client may go on waiting for a
connection that it has given up (seen with librdkafka 2.16). So there is a bound on each, and then the process ends and
begins anew.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from faust.types import TP

from runtime import events
from schemas.errors import DependencyError

_CALL_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 30.0
"""How long a call may take, with all its repetitions."""
_LEAVE_SECONDS: Final = 3.0


class AbortRequiredError(Exception):
    """The open transaction cannot be committed. `reason` is librdkafka's name of the error."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason


class Transactions:
    """The transactions of one producer, one at a time. Every method raises DependencyError where nothing can help."""

    def __init__(self, client: Producer) -> None:
        """Begin without a transaction, and not yet known to the broker."""
        self._client = client
        self._prepared = False
        self._open = False

    async def begin(self) -> None:
        """Open a transaction; the first call fences other producers of the same id, and ends what they left open."""
        if not self._prepared:
            await self._call(self._client.init_transactions)
            self._prepared = True
        self._client.begin_transaction()
        self._open = True

    async def commit(self, offsets: Mapping[TP, int], group: Any) -> None:
        """Commit what was sent, with these offsets, for the member that `group` (metadata of the consumer) names.

        Raises AbortRequiredError: then nothing of it will be visible, and `abort` comes next.
        """
        positions = [TopicPartition(tp.topic, tp.partition, offset) for tp, offset in offsets.items()]
        await self._call(lambda seconds: self._client.send_offsets_to_transaction(positions, group, seconds))
        await self._call(self._client.commit_transaction)
        self._open = False

    async def abort(self, reason: str) -> None:
        """Abort the open transaction. What of it is still queued is given up."""
        events.TransactionAborted(reason).emit()
        try:
            await self._call(self._client.abort_transaction)
        except AbortRequiredError as error:
            raise DependencyError(f"a transaction can be neither committed nor aborted: {error.reason}") from error
        self._open = False

    async def leave(self) -> None:
        """Abort what is still open when the process ends, so that readers need not wait for its timeout."""
        if self._open:
            try:
                await _in_thread(self._client.abort_transaction, _LEAVE_SECONDS, 2 * _LEAVE_SECONDS)
            except KafkaException as failure:
                events.BrokerTroubled("producer", failure.args[0].name()).emit()
            except TimeoutError:
                events.BrokerTroubled("producer", "_TIMED_OUT").emit()

    async def _call(self, operation: Callable[[float], None]) -> None:
        """Do one of the client's calls, again and again while its error is one that passes."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                await _in_thread(operation, _CALL_SECONDS, deadline - time.monotonic())
            except TimeoutError as silence:
                raise DependencyError("the transaction coordinator does not answer in time") from silence
            except KafkaException as failure:
                error: KafkaError = failure.args[0]
                if error.txn_requires_abort():
                    raise AbortRequiredError(error.name()) from failure
                if error.fatal() or not error.retriable():
                    told = f"the Kafka producer cannot go on: {error.name()}: {error.str()}"
                    raise DependencyError(told) from failure
                events.BrokerTroubled("producer", error.name()).emit()
            else:
                return


async def _in_thread(operation: Callable[[float], None], seconds: float, patience: float) -> None:
    """Run a call that is given `seconds` in a thread; raises TimeoutError, and forgets it, after `patience` seconds.

    The thread is a daemon: one that is stuck must not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def end(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        outcome: BaseException | None = None
        try:
            operation(seconds)
        except BaseException as error:  # noqa: BLE001  # whatever it is, the waiting task must have it
            outcome = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(end, outcome)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    async with asyncio.timeout(patience):
        await done
