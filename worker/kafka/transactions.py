"""Kafka transactions: results, dead letters and consumed offsets become visible together, or not at all.

librdkafka's calls block, so each runs in a thread. This module classifies their errors: some are retried, some require
the transaction to be aborted and repeated, and the rest end the process.

Some calls block forever despite their timeout: after a broker outage, the client may wait for a connection that it has
abandoned (librdkafka 2.16, issue 5511). So each call has a time limit. Whether a call beyond it has taken effect is
unknown, and only a new client with the same transactional ID can end the old one's transaction.

The client silently retries a request after a lost connection. The first copy may then arrive late, in the next
transaction, and complete it, abort it, or set its offsets back: it names no transaction, only the producer's epoch. So
a client whose calls took long enough for a retry is replaced by one with a new epoch before the next transaction
(decision 47).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from runtime import events
from schemas.errors import DependencyError

_REPLACEABLE: Final = (
    KafkaError._FENCED,  # noqa: SLF001  # the client's public name for it
    KafkaError.INVALID_TXN_STATE,
    KafkaError.INVALID_PRODUCER_ID_MAPPING,
)
"""Fatal errors that a new client with the same ID does not have."""
_PAUSE_SECONDS: Final = 0.1
"""Before a call is retried."""
_OFFSETS_RETRY_SECONDS: Final = 0.5
"""After which the client retries a TxnOffsetCommit, whatever its configuration."""
_EARLIEST_RETRY: Final = 0.75
"""The client retries other requests after `retry.backoff.ms`, or up to a fifth earlier; with a margin."""
_MARKER_SECONDS: Final = 0.004
"""A transaction has ended once its markers are written. Until then the coordinator refuses the next one, and the client
asks again after 20 ms (decision 74)."""
_WAITS: Final = 12
"""A wait is split into this many short ones: a process that was suspended loses one of them, not the result."""


class TransactionTimeouts(msgspec.Struct, frozen=True):
    """Time limits in seconds.

    `call` is the timeout of a single call. `silence` is how long a call may take with its retries until its client
    counts as stuck: longer than the 9 s after which Kafka detects a dead broker and moves its coordinators, and short
    enough to repeat a transaction while the worker drains. `pause` precedes the retry of an aborted transaction, and
    grows by itself each time, up to `call`. `total` is how long to wait for a coordinator that answers no client, which
    is longer than a broker restart, or for the consumer to learn that the group has dropped it, which takes a session
    timeout (45 s).
    """

    call: float = 5.0
    silence: float = 12.0
    pause: float = 0.2
    total: float = 120.0

    @asynccontextmanager
    async def wait_for_coordinator(self) -> AsyncIterator[None]:
        """Raise DependencyError if the body takes longer than `total`."""
        try:
            async with asyncio.timeout(self.total):
                yield
        except TimeoutError as silence:
            raise DependencyError("the transaction coordinator does not answer in time") from silence


TIMEOUTS: Final = TransactionTimeouts()


class AbortRequiredError(Exception):
    """The open transaction must be aborted. `reason` is librdkafka's name of the error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnresponsiveClientError(Exception):
    """A call does not return, and may or may not have taken effect. The client must be replaced."""


class FencedClientError(UnresponsiveClientError):
    """The coordinator has fenced this client: its transaction timed out, or another client has its ID.

    The client cannot know which, and need not: the group refuses the commits of a new client unless this worker is
    still the same member. Or client and coordinator disagree on which transaction is open, for example after lost
    requests.
    """


class Transactions:
    """The transactions of one client, one at a time.

    All methods raise UnresponsiveClientError if the client is stuck, and DependencyError if a retry cannot help.
    """

    def __init__(
        self, client: Producer, timeouts: TransactionTimeouts = TIMEOUTS, shortest_retry: float = _OFFSETS_RETRY_SECONDS
    ) -> None:
        """Start without a transaction; `prepare` comes first. See the function `shortest_retry`."""
        self._client = client
        self._timeouts = timeouts
        self._shortest_retry = shortest_retry
        self._open = False
        self._settled_at = 0.0
        self.retried: str | None = None
        """A call in which a request may have been sent twice: this epoch must not have another transaction."""
        self.has_sequence_gap = False
        """Whether a record was not delivered: brokers refuse the client's next records of its partition."""

    async def prepare(self, attempt: int = 1) -> None:
        """Fence other producers with the same ID, and end their transactions; called once, first.

        The `attempt`th client in a row gets `attempt` times the time limit: during an outage, none of them is stuck.
        """
        await self._call("init_transactions", self._client.init_transactions, attempt)

    async def settle(self) -> None:
        """Wait until the last transaction's markers are probably written."""
        await asyncio.sleep(self._settled_at - asyncio.get_running_loop().time())

    def begin(self) -> None:
        """Open a transaction."""
        try:
            self._client.begin_transaction()
        except KafkaException as failure:
            raise fatal_error(failure.args[0]) from failure
        self._open = True
        events.TransactionBegun().emit()

    def check(self) -> None:
        """Raise AbortRequiredError if the client knows that the open transaction cannot be committed.

        It has no call for this, but when asked to begin another transaction it refuses with the failure of this one.
        """
        if not self._open:
            return
        try:
            self._client.begin_transaction()
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.txn_requires_abort():
                raise AbortRequiredError(error.name()) from failure

    async def commit(self, positions: Sequence[TopicPartition], group: Any) -> None:
        """Commit the transaction with these offsets, for the member in `group` (the consumer's group metadata).

        Raises AbortRequiredError: then nothing of it becomes visible, and `abort` must follow.
        """
        add_offsets = partial(self._client.send_offsets_to_transaction, list(positions), group)
        await self._call("send_offsets_to_transaction", add_offsets)
        try:
            await self._call("commit_transaction", self._client.commit_transaction)
        except AbortRequiredError as error:
            if self.retried is None:
                raise
            # A retry of the commit may still arrive before the abort.
            raise UnresponsiveClientError(error.reason) from error
        self._end()

    async def abort(self, reason: str) -> None:
        """Abort the open transaction, and drop its queued records."""
        events.TransactionAborted(reason).emit()
        try:
            await self._call("abort_transaction", self._client.abort_transaction)
        except AbortRequiredError as error:
            raise UnresponsiveClientError(error.reason) from error
        self._end()

    def _end(self) -> None:
        self._open = False
        self._settled_at = asyncio.get_running_loop().time() + _MARKER_SECONDS

    async def abort_if_open(self) -> None:
        """Abort an open transaction when the process ends, so that readers need not wait for its timeout."""
        if not self._open:
            return
        seconds = self._timeouts.call / 2
        try:
            await _in_thread(lambda _given_up: self._client.abort_transaction(seconds), 2 * seconds)
        except KafkaException as failure:
            events.KafkaClientError("producer", failure.args[0].name()).emit()
        except TimeoutError:
            events.KafkaClientError("producer", "_TIMED_OUT").emit()

    async def _call(self, name: str, operation: Callable[[float], None], attempt: int = 1) -> None:
        """Make one of the client's calls, retrying transient errors."""

        def work(given_up: threading.Event) -> None:
            began = time.monotonic()
            try:
                _repeat(partial(operation, self._timeouts.call), given_up)
            finally:
                if not given_up.is_set():
                    self._record_duration(name, time.monotonic() - began)

        try:
            await _in_thread(work, attempt * self._timeouts.silence)
        except TimeoutError:
            raise UnresponsiveClientError(name) from None

    def _record_duration(self, call: str, seconds: float) -> None:
        """Record a slow call. A late copy of init_transactions is harmless: it only fences this client."""
        if seconds >= self._shortest_retry and call != "init_transactions":
            self.retried = call
            events.TransactionCallSlow(call, seconds).emit()


def shortest_retry(config: Mapping[str, object]) -> float:
    """Return the duration in seconds from which a client with this configuration may have retried a request."""
    backoff = min(
        float(str(config.get("retry.backoff.ms", 100))), float(str(config.get("retry.backoff.max.ms", 1_000)))
    )
    return min(_EARLIEST_RETRY * backoff / 1_000, _OFFSETS_RETRY_SECONDS)


def _repeat(operation: Callable[[], None], given_up: threading.Event) -> None:
    """Retry a call until it succeeds, fails permanently, or is abandoned."""
    while True:
        try:
            operation()
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.txn_requires_abort():
                raise AbortRequiredError(error.name()) from failure
            if error.fatal() or not error.retriable():
                raise fatal_error(error) from failure
            if given_up.wait(_PAUSE_SECONDS):
                return
            events.KafkaClientError("producer", error.name()).emit()
        else:
            return


def fatal_error(error: KafkaError) -> DependencyError | FencedClientError:
    """Return the exception for an error that retries cannot overcome."""
    if error.code() in _REPLACEABLE:
        return FencedClientError(error.name())
    return DependencyError(f"the Kafka producer cannot go on: {error.name()}: {error.str()}")


async def _in_thread(work: Callable[[threading.Event], None], limit: float) -> None:
    """Run work in a daemon thread; after `limit` seconds, set its event, abandon it and raise TimeoutError.

    A daemon, so that a stuck thread does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    given_up = threading.Event()

    def end(error: BaseException | None) -> None:
        if given_up.is_set():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        outcome: BaseException | None = None
        try:
            work(given_up)
        except BaseException as error:  # noqa: BLE001  # any error goes to the waiting task
            outcome = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(end, outcome)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    try:
        for _ in range(_WAITS):
            await asyncio.wait([done], timeout=limit / _WAITS)
            if done.done():
                return done.result()
        raise TimeoutError
    finally:
        given_up.set()
