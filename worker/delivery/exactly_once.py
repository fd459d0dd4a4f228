"""Exactly-once delivery: a flush is a transaction of results and offsets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from faust.types import TP

from runtime import events
from schemas.errors import DependencyError
from worker.kafka.commits import positions_of
from worker.kafka.delivery_errors import DeliveryError, FinalDeliveryError
from worker.kafka.ledger import Ledger
from worker.kafka.outgoing_record import OutgoingRecord
from worker.kafka.producer import LibrdkafkaProducer
from worker.kafka.topic_check import TopicCheck
from worker.kafka.transactions import AbortRequiredError, TransactionTimeouts, UnresponsiveClientError
from worker.output_topics import OutputTopics, query_limits, queue_results
from worker.resend_plan import ResendPlan
from worker.scored_batch import ScoredBatch
from worker.substitutes import NO_SUBSTITUTES, Substitutes

_NO_MEMBER: Final = frozenset({"UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"})
"""The group's errors for a transaction whose consumer is not a member, or of an earlier generation."""
_MAX_ABORTS: Final = 10
"""Consecutive aborted transactions without progress until the process may give up."""


class Membership(Protocol):
    """The consumer's group membership and topic."""

    topic_check: TopicCheck

    def group_metadata(self) -> Any:
        """Return the group metadata for transactions, as last refreshed."""
        ...

    def record_transaction(self, *, is_refused: bool) -> None:
        """Record whether the group refused a transaction because it does not know the member."""
        ...


class ExactlyOnce:
    """A flush is a transaction of results and offsets: a reader of committed records sees each result once.

    An aborted transaction is repeated from memory, without the partitions lost in the meantime. If the client is stuck,
    a new one ends its transaction, and the group's committed offsets show whether it was committed.
    """

    linger = 0.1
    """A batch that is never scored, as its partition was lost, must not delay the others."""

    def __init__(
        self,
        producer: Callable[[], LibrdkafkaProducer],
        topic: str,
        ledger: Ledger,
        member: Callable[[], Membership],
        committed: Callable[[Collection[TP]], Awaitable[Mapping[TP, int]]],
        output_topics: OutputTopics | None = None,
        substitutes: Substitutes = NO_SUBSTITUTES,
    ) -> None:
        """`member` returns the consumer; `committed` reads the group's offsets."""
        self._producer = producer
        self._topic = topic
        self._ledger = ledger
        self._member = member
        self._committed = committed
        self._output_topics = output_topics
        self._substitutes = substitutes
        self._resend_plan = ResendPlan(substitutes)
        """How to resend this transaction's refused records."""
        self._failure: DeliveryError | AbortRequiredError | None = None
        """Why the open transaction must be aborted."""

    async def open(self) -> None:
        """Begin a transaction."""
        self._resend_plan = ResendPlan(self._substitutes)
        await query_limits(self._output_topics, self._producer())
        await self._begin()

    async def _begin(self) -> None:
        self._failure = None
        self._resend_plan.has_changed = False
        await self._producer().begin()

    async def add(self, scored_batch: ScoredBatch) -> None:
        """Queue scores, then dead letters. A failure is kept for `close`, which aborts the transaction."""
        if self._failure is not None:
            return
        try:
            await queue_results(
                self._producer(), self._topic, self._resend_plan.bulk(scored_batch), self._output_topics
            )
            for group in self._resend_plan.groups(scored_batch):
                await self._send_separately(group)
        except (DeliveryError, AbortRequiredError) as error:
            self._failure = error.with_traceback(None)

    async def _send_separately(self, group: Sequence[OutgoingRecord]) -> None:
        """Send a few records and wait for their delivery reports."""
        for record in group:
            await self._producer().queue_record(record)
        if refused := await self._producer().await_deliveries():
            self._plan_resend(refused, group)
            raise DeliveryError("records are refused by their topics")

    def _plan_resend(self, refused: Sequence[OutgoingRecord], group: Sequence[OutgoingRecord] = ()) -> None:
        self._resend_plan.add_refused(refused, group, self._producer().batch_bytes)

    def accepts_more(self) -> bool:
        """Accept more while batches wait to be scored: a transaction costs several requests, whatever its size."""
        return self._ledger.any_waiting()

    async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
        """Commit; after an abort, repeat the transaction for the partitions that are still owned."""
        confirmed: list[ScoredBatch] = []
        retry_budget = _RetryBudget(self._producer().timeouts)
        while scored_batches:
            try:
                await self._commit(scored_batches)
            except FinalDeliveryError:
                raise
            except (AbortRequiredError, DeliveryError) as error:
                reason, stuck = str(error), False
            except UnresponsiveClientError as error:
                reason, stuck = str(error), True
            else:
                confirmed += scored_batches
                break
            settle = self._replace_client if stuck else self._abort
            offsets = await settle(reason, scored_batches)
            held = [scored_batch for scored_batch in scored_batches if self._ledger.owns(scored_batch.batch)]
            confirmed += [scored_batch for scored_batch in held if _is_done(scored_batch, offsets)]
            left = [scored_batch for scored_batch in held if not _is_done(scored_batch, offsets)]
            retry_budget.record(made_progress=left != scored_batches or self._resend_plan.has_changed)
            if retry_budget.is_exhausted:
                raise DependencyError(f"{retry_budget.aborts} transactions in a row had to be aborted: {reason}")
            scored_batches = left
            if scored_batches:
                await retry_budget.pause()
                await self._repeat(scored_batches)
        return confirmed

    async def _commit(self, scored_batches: Sequence[ScoredBatch]) -> None:
        """Commit the open transaction, if all of it is delivered and every partition is still owned.

        The topic's ID is queried after all records were read. The group metadata is read before the partitions are
        checked: if one is lost later, the broker refuses the outdated metadata.
        """
        if self._failure is not None:
            raise self._failure
        check = self._member().topic_check
        asked = check.ask()
        if refused := await self._producer().await_deliveries():
            self._plan_resend(refused)
            self._failure = DeliveryError("records are refused by their topics")
            raise self._failure
        await check.confirm(asked)
        group = self._member().group_metadata()
        if not all(self._ledger.owns(scored_batch.batch) for scored_batch in scored_batches):
            raise DeliveryError("partitions were lost")
        offsets = {each.batch.tp: self._ledger.committable_with(each.batch) for each in scored_batches}
        await self._commit_offsets(offsets, group)

    async def _commit_offsets(self, offsets: Mapping[TP, int], group: Any) -> None:
        positions = positions_of(offsets, self._ledger.commit_metadata)
        by_partition = {tp.partition: offset for tp, offset in offsets.items()}
        events.OffsetsSent(by_partition).emit()
        try:
            await self._producer().require_transactions().commit(positions, group)
        except AbortRequiredError as error:
            self._member().record_transaction(is_refused=error.reason in _NO_MEMBER)
            raise
        self._member().record_transaction(is_refused=False)
        self._ledger.mark_committed(offsets)
        events.OffsetsCommitted(by_partition, transactional=True).emit()

    async def idle(self) -> None:
        """Commit offsets beyond the last record in a transaction without results."""
        if not self._ledger.committable_when_idle(self._ledger.owned()):
            return
        await self._begin()
        group = self._member().group_metadata()
        offsets = self._ledger.committable_when_idle(self._ledger.owned())
        if not offsets:
            await self._abort("partitions were lost", ())
            return
        # Reactions come after `except`: a traceback refers to the client, which another thread must destroy.
        try:
            await self._commit_offsets(offsets, group)
        except AbortRequiredError as error:
            reason, stuck = str(error), False
        except UnresponsiveClientError as error:
            reason, stuck = str(error), True
        else:
            return
        await (self._replace_client(reason, ()) if stuck else self._abort(reason, ()))

    async def _abort(self, reason: str, scored_batches: Sequence[ScoredBatch]) -> Mapping[TP, int]:
        """Abort the open transaction; return committed offsets only if the client was stuck."""
        try:
            await self._producer().require_transactions().abort(reason)
        except UnresponsiveClientError as error:
            call = str(error)
        else:
            refused = await self._producer().clear_failures()
            # Nothing can be queued in a failed transaction: `add` may have failed before the reason was reported.
            if refused and not self._resend_plan.has_changed:
                self._plan_resend(refused)
            if self._resend_plan.batch_bytes is not None:
                await self._producer().limit_batches(self._resend_plan.batch_bytes)
                self._resend_plan.batch_bytes = None
            return {}
        return await self._replace_client(call, scored_batches)

    async def _replace_client(self, call: str, scored_batches: Sequence[ScoredBatch]) -> Mapping[TP, int]:
        """Replace the client that is stuck in `call`; return the committed offsets once its transaction has ended.

        Another member may have committed a partition that this one lost unnoticed: its results count as well.
        """
        tps = {scored_batch.batch.tp for scored_batch in scored_batches if self._ledger.owns(scored_batch.batch)}
        producer = self._producer()
        async with producer.timeouts.wait_for_coordinator():
            await producer.replace_client(call)
            offsets = await self._committed(tps) if tps else {}
        done = {scored_batch.batch.tp for scored_batch in scored_batches if _is_done(scored_batch, offsets)}
        events.TransactionSettled(len(done), len(tps - done)).emit()
        return offsets

    async def _repeat(self, scored_batches: Sequence[ScoredBatch]) -> None:
        """Repeat what is left of an aborted transaction."""
        await self._begin()
        for scored_batch in scored_batches:
            await self.add(scored_batch)


class _RetryBudget:
    """Limits consecutive aborted transactions without progress."""

    def __init__(self, timeouts: TransactionTimeouts) -> None:
        self._timeouts = timeouts
        self._since = time.monotonic()
        self.aborts = 0

    def record(self, *, made_progress: bool) -> None:
        """Count an abort; after progress the next attempt may succeed, and counting restarts."""
        self.aborts = 0 if made_progress else self.aborts + 1
        if made_progress:
            self._since = time.monotonic()

    @property
    def is_exhausted(self) -> bool:
        """Whether there were too many aborts, over too long."""
        return self.aborts >= _MAX_ABORTS and time.monotonic() - self._since > self._timeouts.total

    async def pause(self) -> None:
        """Give the consumer thread time to learn of a rebalance, or that the group has dropped it."""
        await asyncio.sleep(min(self._timeouts.pause * (self.aborts + 1), self._timeouts.call))


def _is_done(scored_batch: ScoredBatch, offsets: Mapping[TP, int]) -> bool:
    return offsets.get(scored_batch.batch.tp, -1) >= scored_batch.batch.next_offset
