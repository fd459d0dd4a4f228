"""The two delivery guarantees: at least once, and exactly once.

Scores and dead letters can be larger than their topic takes, without the key that it wants, or older, and a broker
refuses whole batches of them. So refused ones are sent once more with the present time, in small groups, those beyond a
few kilobytes alone. In place of what is refused even then goes what its topic takes (`worker.substitutes`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from faust.types import TP

from runtime import events
from schemas.errors import DependencyError
from worker.output_topics import OutputTopics
from worker.resend_plan import ResendPlan
from worker.scored_batch import ScoredBatch
from worker.substitutes import NO_SUBSTITUTES, Substitutes, small_groups, smaller_batches, with_headers
from worker.transport.commits import positions_of
from worker.transport.deliveries import DeliveryError, FinalDeliveryError
from worker.transport.ledger import Ledger
from worker.transport.outgoing import ANY_PARTITION, OutgoingRecord
from worker.transport.producer import LibrdkafkaProducer
from worker.transport.topic_check import TopicCheck
from worker.transport.transactions import AbortRequiredError, Patience, SilentClientError

_NO_MEMBER: Final = frozenset({"UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"})
"""Why the group refuses a transaction whose consumer is no member of it, or one of an earlier generation."""
_MAX_ABORTS: Final = 10
"""Transactions aborted in a row, without any news, until the process may give up."""


class AtLeastOnce:
    """A round is confirmed when the broker has every record of it. After a crash, records are scored again."""

    linger = 0.02
    """Under a steady flow, something is always unconfirmed: then a round ends with a short wait for the broker."""

    def __init__(
        self,
        producer: Callable[[], LibrdkafkaProducer],
        topic: str,
        output_topics: OutputTopics | None = None,
        substitutes: Substitutes = NO_SUBSTITUTES,
    ) -> None:
        """`producer` is asked for when it is needed, as Faust makes it at start; `topic` takes the scores."""
        self._producer = producer
        self._topic = topic
        self._output_topics = output_topics
        self._substitutes = substitutes

    async def open(self) -> None:
        """Know the topics before anything is sent."""
        await _know(self._output_topics, self._producer())

    async def idle(self) -> None:
        """Need nothing: the consumer commits."""

    async def add(self, scored_batch: ScoredBatch) -> None:
        """Queue scores, then dead letters."""
        await _queue(self._producer(), self._topic, scored_batch, self._output_topics)

    def accepts_more(self) -> bool:
        """Take more as long as something is unconfirmed: only then is a wait needed at all."""
        return self._producer().outstanding > 0

    async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
        """Wait for the broker; send what it refused once more, or something in its place."""
        refused = with_headers(await self._producer().settle(), scored_batches)
        while (size := smaller_batches(refused, self._producer().batch_bytes)) is not None:
            await self._producer().limit_batches(size)
            refused = with_headers(await self._send(refused), scored_batches)
        for group in small_groups(refused):
            await self._send_carefully(group, scored_batches)
        return scored_batches

    async def _send_carefully(self, records: Sequence[OutgoingRecord], scored_batches: Sequence[ScoredBatch]) -> None:
        refused = await self._send(records)
        if len(records) > 1:
            for record in refused:
                await self._send_carefully([record], scored_batches)
        elif refused and (substitute := self._substitutes.of(refused[0], scored_batches)) is not None:
            await self._send_carefully([substitute], scored_batches)

    async def _send(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        """Send records; returns those that the broker refused."""
        for record in records:
            await self._producer().queue_record(record)
        return await self._producer().settle()


class Membership(Protocol):
    """The consumer's place in its group, and what it reads."""

    topic_check: TopicCheck

    def group_metadata(self) -> Any:
        """Return it as transactions need it: as of the latest look."""
        ...

    def note_transaction(self, *, is_refused: bool) -> None:
        """Hear whether the group refused a transaction, as it does not know its member."""
        ...


class ExactlyOnce:
    """A round is a transaction that holds results and offsets: a reader of committed records sees each result once.

    An aborted transaction is done again from memory, without the partitions that were lost meanwhile. Where the client
    is stuck, a new one ends what the old one left, and the group's offsets, committed with the results, tell what that
    was: what they pass is done.
    """

    linger = 0.1
    """A batch that was read and is never scored, as its partition is lost, must not hold the others up."""

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
        """`member` returns the consumer; `committed` asks for the group's offsets."""
        self._producer = producer
        self._topic = topic
        self._ledger = ledger
        self._member = member
        self._committed = committed
        self._output_topics = output_topics
        self._substitutes = substitutes
        self._resend_plan = ResendPlan(substitutes)
        """What was learnt of the records of this round that were refused."""
        self._failure: DeliveryError | AbortRequiredError | None = None
        """Why the open transaction cannot be committed."""

    async def open(self) -> None:
        """Begin a transaction."""
        self._resend_plan = ResendPlan(self._substitutes)
        await _know(self._output_topics, self._producer())
        await self._begin()

    async def _begin(self) -> None:
        self._failure = None
        self._resend_plan.has_news = False
        await self._producer().begin()

    async def add(self, scored_batch: ScoredBatch) -> None:
        """Queue scores, then dead letters. A failure is kept for `close`, as the transaction must be aborted for it."""
        if self._failure is not None:
            return
        try:
            await _queue(self._producer(), self._topic, self._resend_plan.bulk(scored_batch), self._output_topics)
            for group in self._resend_plan.groups(scored_batch):
                await self._send_apart(group)
        except (DeliveryError, AbortRequiredError) as error:
            self._failure = error

    async def _send_apart(self, group: Sequence[OutgoingRecord]) -> None:
        """Send a few records, and learn whether their topics take them."""
        for record in group:
            await self._producer().queue_record(record)
        if refused := await self._producer().settle():
            self._take_care(refused, group)
            raise DeliveryError("records are refused by their topics")

    def _take_care(self, refused: Sequence[OutgoingRecord], group: Sequence[OutgoingRecord] = ()) -> None:
        self._resend_plan.note(refused, group, self._producer().batch_bytes)

    def accepts_more(self) -> bool:
        """Wait for batches that are being scored: a transaction costs several requests, however little is in it."""
        return self._ledger.any_waiting()

    async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
        """Commit; after an abort, do the whole round again for the partitions that are still this worker's."""
        confirmed: list[ScoredBatch] = []
        retry_budget = _RetryBudget(self._producer().patience)
        while scored_batches:
            try:
                await self._commit(scored_batches)
            except FinalDeliveryError:
                raise
            except (AbortRequiredError, DeliveryError) as error:
                reason, stuck = str(error), False
            except SilentClientError as error:
                reason, stuck = str(error), True
            else:
                confirmed += scored_batches
                break
            offsets = await (self._learn(reason, scored_batches) if stuck else self._abort(reason, scored_batches))
            held = [scored_batch for scored_batch in scored_batches if self._ledger.holds(scored_batch.batch)]
            confirmed += [scored_batch for scored_batch in held if _is_done(scored_batch, offsets)]
            left = [scored_batch for scored_batch in held if not _is_done(scored_batch, offsets)]
            retry_budget.note(has_news=left != scored_batches or self._resend_plan.has_news)
            if retry_budget.is_exhausted:
                raise DependencyError(f"{retry_budget.aborts} transactions in a row had to be aborted: {reason}")
            scored_batches = left
            if scored_batches:
                await retry_budget.pause()
                await self._again(scored_batches)
        return confirmed

    async def _commit(self, scored_batches: Sequence[ScoredBatch]) -> None:
        """Commit the open transaction, if all of it is delivered and every partition is still this worker's.

        Which topic it is is asked for after all of its records were read. The group's metadata is read before the
        partitions are looked at: if one is lost later, the broker sees that the metadata is old.
        """
        if self._failure is not None:
            raise self._failure
        check = self._member().topic_check
        asked = check.ask()
        if refused := await self._producer().settle():
            self._take_care(refused)
            self._failure = DeliveryError("records are refused by their topics")
            raise self._failure
        await check.confirm(asked)
        group = self._member().group_metadata()
        if not all(self._ledger.holds(scored_batch.batch) for scored_batch in scored_batches):
            raise DeliveryError("partitions were lost")
        await self._store({each.batch.tp: self._ledger.committable_with(each.batch) for each in scored_batches}, group)

    async def _store(self, offsets: Mapping[TP, int], group: Any) -> None:
        positions = positions_of(offsets, self._ledger.note)
        by_partition = {tp.partition: offset for tp, offset in offsets.items()}
        events.OffsetsSent(by_partition).emit()
        try:
            await self._producer().require_transactions().commit(positions, group)
        except AbortRequiredError as error:
            self._member().note_transaction(is_refused=error.reason in _NO_MEMBER)
            raise
        self._member().note_transaction(is_refused=False)
        self._ledger.note_stored(offsets)
        events.OffsetsCommitted(by_partition, transactional=True).emit()

    async def idle(self) -> None:
        """Commit how far partitions were read beyond their last record: an offset a transaction, without results."""
        if not self._ledger.passed(self._ledger.owned()):
            return
        await self._begin()
        group = self._member().group_metadata()
        offsets = self._ledger.passed(self._ledger.owned())
        if not offsets:
            await self._abort("partitions were lost", ())
            return
        try:
            await self._store(offsets, group)
        except AbortRequiredError as error:
            await self._abort(str(error), ())
        except SilentClientError as error:
            await self._learn(str(error), ())

    async def _abort(self, reason: str, scored_batches: Sequence[ScoredBatch]) -> Mapping[TP, int]:
        """Abort the open transaction; returns offsets only if the client was stuck."""
        try:
            await self._producer().require_transactions().abort(reason)
        except SilentClientError as error:
            call = str(error)
        else:
            refused = await self._producer().forget_failures()
            # Nothing can be queued in a failed transaction: `add` may have met that before it heard of the reason.
            if refused and not self._resend_plan.has_news:
                self._take_care(refused)
            if self._resend_plan.batch_bytes is not None:
                await self._producer().limit_batches(self._resend_plan.batch_bytes)
                self._resend_plan.batch_bytes = None
            return {}
        return await self._learn(call, scored_batches)

    async def _learn(self, call: str, scored_batches: Sequence[ScoredBatch]) -> Mapping[TP, int]:
        """Replace the client that is stuck in `call`; returns what is committed when nothing is pending any more.

        Another member may have committed a partition that this one lost unawares: that counts as well, as its results
        are there.
        """
        tps = {scored_batch.batch.tp for scored_batch in scored_batches if self._ledger.holds(scored_batch.batch)}
        producer = self._producer()
        async with producer.in_time():
            await producer.renew(call)
            offsets = await self._committed(tps) if tps else {}
        done = {scored_batch.batch.tp for scored_batch in scored_batches if _is_done(scored_batch, offsets)}
        events.TransactionSettled(len(done), len(tps - done)).emit()
        return offsets

    async def _again(self, scored_batches: Sequence[ScoredBatch]) -> None:
        """Do what is left of an aborted round once more."""
        await self._begin()
        for scored_batch in scored_batches:
            await self.add(scored_batch)


class _RetryBudget:
    """Counts transactions that were aborted in a row, without any news since the first of them."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since = time.monotonic()
        self.aborts = 0

    def note(self, *, has_news: bool) -> None:
        """An abort: with news, the next attempt may well succeed."""
        self.aborts = 0 if has_news else self.aborts + 1
        if has_news:
            self._since = time.monotonic()

    @property
    def is_exhausted(self) -> bool:
        """Whether there were many of them, for long."""
        return self.aborts >= _MAX_ABORTS and time.monotonic() - self._since > self._patience.total

    async def pause(self) -> None:
        """Let the consumer's thread learn of a rebalance, or that the group has forgotten it."""
        await asyncio.sleep(min(self._patience.pause * (self.aborts + 1), self._patience.call))


def _is_done(scored_batch: ScoredBatch, offsets: Mapping[TP, int]) -> bool:
    return offsets.get(scored_batch.batch.tp, -1) >= scored_batch.batch.next_offset


async def _know(output_topics: OutputTopics | None, producer: LibrdkafkaProducer) -> None:
    """Ask the broker once what its topics take, and send no larger batches."""
    if output_topics is None or output_topics.is_known:
        return
    await output_topics.query()
    if output_topics.batch_bytes is not None and output_topics.batch_bytes < producer.batch_bytes:
        await producer.limit_batches(output_topics.batch_bytes)


async def _queue(
    producer: LibrdkafkaProducer, topic: str, scored_batch: ScoredBatch, output_topics: OutputTopics | None
) -> None:
    """Queue scores, then dead letters."""
    source = scored_batch.batch.tp.partition
    home = ANY_PARTITION if output_topics is None else output_topics.partition_for(topic, source)
    await producer.queue(topic, scored_batch.keys, scored_batch.scores, scored_batch.headers, home)
    for letter in scored_batch.letters:
        if letter.key is None and output_topics is not None:
            letter.partition = output_topics.partition_for(letter.topic, source)
        await producer.queue_record(letter)
