"""Kafka transactions: results, dead letters and consumed offsets become visible together, or not at all.

librdkafka's calls block, so each runs in a thread. What its errors mean is decided here: some pass, some need the
transaction to be aborted and done again, and the rest end the process (above all: another producer took over the id).

Some calls block for ever, whatever time they are given: after a broker was away, the client may go on waiting for a
connection that it has given up (librdkafka 2.16, its issue 5511). So there is a bound on each. A call beyond it may
have been done or not, and only a new client with the same id can end what the old one left.

The client sends a request again when its connection is lost, and does not tell. The first copy may then arrive late, in
the next transaction, and complete it, abort it, or give it older offsets: it names no transaction, only the producer's
epoch. So a client whose calls took long enough for a second copy has a successor with a new epoch before the next
transaction begins (decision 47).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
"""Fatal errors of a client that a new one of the same id does not have."""
_PAUSE_SECONDS: Final = 0.1
"""Before a call is repeated."""
_OFFSETS_RETRY_SECONDS: Final = 0.5
"""After which the client repeats a TxnOffsetCommit, whatever its configuration."""
_EARLY: Final = 0.75
"""The client repeats other requests after its `retry.backoff.ms`, or up to a fifth earlier; less some room."""
_LOOKS: Final = 12
"""A silence is so many short ones: a process that was suspended misses one of them, not the answer that is there."""


class Patience(msgspec.Struct, frozen=True):
    """How long to wait, in seconds.

    `call` is what a call is given before it is repeated. `silence` is how long a call may take with its repetitions,
    until its client counts as stuck: longer than the 9 s after which Kafka misses a dead broker and moves its
    coordinators, and short enough to do a round again while the worker drains. `pause` comes before an aborted
    transaction is done again, and is longer by as much each time, up to `call`. `total` is how long a round waits for a
    coordinator that answers no client at all, as a broker is started again in less; or for the consumer to hear that
    the group went on without it, which takes a session timeout (45 s).
    """

    call: float = 5.0
    silence: float = 12.0
    pause: float = 0.2
    total: float = 120.0


PATIENCE: Final = Patience()


class AbortRequiredError(Exception):
    """The open transaction cannot be committed. `reason` is librdkafka's name of the error."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason


class SilentClientError(Exception):
    """The client does not come back from a call, which may have been done or not. The client is of no use any more."""


class FencedClientError(SilentClientError):
    """The coordinator takes nothing more of this client: a transaction took too long, or another client has its id.

    The client cannot tell which, and need not: what another one of the same id commits is refused by the group unless
    this worker is still the member that it was. Or coordinator and client differ about what is open, as where requests
    that begin a transaction were lost until it was given up.
    """


class Transactions:
    """The transactions of one client, one at a time.

    Every method raises SilentClientError where the client is stuck, and DependencyError where nothing can help.
    """

    def __init__(
        self, client: Producer, patience: Patience = PATIENCE, shortest_retry: float = _OFFSETS_RETRY_SECONDS
    ) -> None:
        """Begin without a transaction, and not yet known to the broker. See the function `shortest_retry`."""
        self._client = client
        self._patience = patience
        self._shortest_retry = shortest_retry
        self._open = False
        self.retried: str | None = None
        """A call in which a request may have been sent twice: this client's epoch must have no further transaction."""
        self.has_sequence_gap = False
        """Whether a record was not delivered: brokers refuse what this client sends to its partition next."""

    async def prepare(self, turn: int = 1) -> None:
        """Fence other producers of the same id, and end what they left open; once, before all else.

        The `turn`th client in a row gets so many times the patience: while no broker is there, none of them is stuck.
        """
        await self._call("init_transactions", self._client.init_transactions, turn)

    def begin(self) -> None:
        """Open a transaction."""
        try:
            self._client.begin_transaction()
        except KafkaException as failure:
            raise hopeless(failure.args[0]) from failure
        self._open = True
        events.TransactionBegun().emit()

    def check(self) -> None:
        """Raise AbortRequiredError if the client knows that the open transaction cannot be committed.

        It has no call that says so, but refuses to begin another transaction with the reason why this one failed.
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
        """Commit what was sent, with these offsets, for the member that `group` (metadata of the consumer) names.

        Raises AbortRequiredError: then nothing of it will be visible, and `abort` comes next.
        """
        add_offsets = partial(self._client.send_offsets_to_transaction, list(positions), group)
        await self._call("send_offsets_to_transaction", add_offsets)
        try:
            await self._call("commit_transaction", self._client.commit_transaction)
        except AbortRequiredError as error:
            if self.retried is None:
                raise
            # A copy of the commit may still arrive before the abort.
            raise SilentClientError(error.reason) from error
        self._open = False

    async def abort(self, reason: str) -> None:
        """Abort the open transaction. What of it is still queued is given up."""
        events.TransactionAborted(reason).emit()
        try:
            await self._call("abort_transaction", self._client.abort_transaction)
        except AbortRequiredError as error:
            raise SilentClientError(error.reason) from error
        self._open = False

    async def leave(self) -> None:
        """Abort what is still open when the process ends, so that readers need not wait for its timeout."""
        if not self._open:
            return
        seconds = self._patience.call / 2
        try:
            await _in_thread(lambda _given_up: self._client.abort_transaction(seconds), 2 * seconds)
        except KafkaException as failure:
            events.KafkaClientError("producer", failure.args[0].name()).emit()
        except TimeoutError:
            events.KafkaClientError("producer", "_TIMED_OUT").emit()

    async def _call(self, name: str, operation: Callable[[float], None], turn: int = 1) -> None:
        """Do one of the client's calls, again and again while its error is one that passes."""

        def work(given_up: threading.Event) -> None:
            began = time.monotonic()
            try:
                _repeat(partial(operation, self._patience.call), given_up)
            finally:
                if not given_up.is_set():
                    self._note(name, time.monotonic() - began)

        try:
            await _in_thread(work, turn * self._patience.silence)
        except TimeoutError:
            raise SilentClientError(name) from None

    def _note(self, call: str, seconds: float) -> None:
        """Remember a call that was slow. A second copy of init_transactions, if it arrives, only fences this client."""
        if seconds >= self._shortest_retry and call != "init_transactions":
            self.retried = call
            events.TransactionCallSlow(call, seconds).emit()


def shortest_retry(config: Mapping[str, object]) -> float:
    """Return how long a call must take, in seconds, for a client of this configuration to have repeated a request."""
    backoff = min(
        float(str(config.get("retry.backoff.ms", 100))), float(str(config.get("retry.backoff.max.ms", 1_000)))
    )
    return min(_EARLY * backoff / 1_000, _OFFSETS_RETRY_SECONDS)


def _repeat(operation: Callable[[], None], given_up: threading.Event) -> None:
    """Do a call until it succeeds, fails for good, or nobody waits for it any more."""
    while True:
        try:
            operation()
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.txn_requires_abort():
                raise AbortRequiredError(error.name()) from failure
            if error.fatal() or not error.retriable():
                raise hopeless(error) from failure
            if given_up.wait(_PAUSE_SECONDS):
                return
            events.KafkaClientError("producer", error.name()).emit()
        else:
            return


def hopeless(error: KafkaError) -> DependencyError | FencedClientError:
    """Return what to raise for an error that no repetition overcomes."""
    if error.code() in _REPLACEABLE:
        return FencedClientError(error.name())
    return DependencyError(f"the Kafka producer cannot go on: {error.name()}: {error.str()}")


async def _in_thread(work: Callable[[threading.Event], None], patience: float) -> None:
    """Do work in a thread; raises TimeoutError, and forgets it, after `patience` seconds. Sets its event then.

    The thread is a daemon: one that is stuck must not keep the process from ending.
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
        except BaseException as error:  # noqa: BLE001  # whatever it is, the waiting task must have it
            outcome = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(end, outcome)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    try:
        for _ in range(_LOOKS):
            await asyncio.wait([done], timeout=patience / _LOOKS)
            if done.done():
                return done.result()
        raise TimeoutError
    finally:
        given_up.set()
