"""The two delivery guarantees: at least once, and exactly once.

Dead letters can be larger than their topic takes, or older, and a broker refuses whole batches of them. So refused ones
are sent once more with the present time, in small groups, those beyond a few kilobytes alone. What is refused even then
goes out without its value: a header says so, and where the original stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from faust.types import TP

from runtime import events
from schemas.errors import DependencyError
from worker.dead_letters import without_value
from worker.shipment import Shipment
from worker.transport.commits import positions_of
from worker.transport.deliveries import DeliveryError, FinalDeliveryError
from worker.transport.ledger import Ledger
from worker.transport.producer import LibrdkafkaProducer, OutgoingRecord
from worker.transport.transactions import AbortRequiredError, Patience, SilentClientError

_GROUP_BYTES: Final = 8_192
_VAIN_ABORTS: Final = 10
"""Transactions aborted in a row, without any news, until the process may give up."""


class AtLeastOnce:
    """A round is confirmed when the broker has every record of it. After a crash, records are scored again."""

    patience = 0.02
    """Under a steady flow, something is always unconfirmed: then a round ends with a short wait for the broker."""

    def __init__(self, producer: Callable[[], LibrdkafkaProducer], topic: str) -> None:
        """`producer` is asked for when it is needed, as Faust makes it at start; `topic` takes the scores."""
        self._producer = producer
        self._topic = topic

    async def open(self) -> None:
        """Need nothing."""

    async def rest(self) -> None:
        """Need nothing: the consumer commits."""

    async def add(self, shipment: Shipment) -> None:
        """Queue scores, then dead letters."""
        await self._producer().queue(self._topic, shipment.keys, shipment.scores, shipment.headers)
        for letter in shipment.letters:
            await self._producer().queue_record(letter)

    def lasts(self) -> bool:
        """Take more as long as something is unconfirmed: only then is a wait needed at all."""
        return self._producer().outstanding > 0

    async def close(self, shipments: Sequence[Shipment]) -> Sequence[Shipment]:
        """Wait for the broker; send dead letters that it refused once more."""
        for group in _small_groups(await self._producer().settle()):
            await self._send_carefully(group)
        return shipments

    async def _send_carefully(self, letters: Sequence[OutgoingRecord]) -> None:
        refused = await self._send(letters)
        if len(letters) > 1:
            for letter in refused:
                await self._send_carefully([letter])
        elif refused and await self._send([without_value(letters[0])]):
            raise _hopeless(letters[0])

    async def _send(self, letters: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        """Send a few dead letters; returns those that the broker refused."""
        for letter in letters:
            await self._producer().queue_record(letter)
        return await self._producer().settle()


class ExactlyOnce:
    """A round is a transaction that holds results and offsets: a reader of committed records sees each result once.

    An aborted transaction is done again from memory, without the partitions that were lost meanwhile. Where the client
    is stuck, a new one ends what the old one left, and the group's offsets, committed with the results, tell what that
    was: what they pass is done.
    """

    patience = 0.1
    """A batch that was read and is never scored, as its partition is lost, must not hold the others up."""

    def __init__(
        self,
        producer: Callable[[], LibrdkafkaProducer],
        topic: str,
        ledger: Ledger,
        group: Callable[[], Any],
        committed: Callable[[Collection[TP]], Awaitable[Mapping[TP, int]]],
    ) -> None:
        """`group` returns the consumer's latest group metadata; `committed` asks for the group's offsets."""
        self._producer = producer
        self._topic = topic
        self._ledger = ledger
        self._group = group
        self._committed = committed
        self._careful = False
        """Whether some dead letter of this round was refused as too large."""
        self._too_large: int | None = None
        """The smallest size, in bytes, that was refused though it was sent carefully."""
        self._known: tuple[bool, int | None] = self._careful, self._too_large
        """What was known of refused letters when the transaction began."""
        self._failure: DeliveryError | None = None
        """Why the open transaction cannot be committed."""

    async def open(self) -> None:
        """Begin a transaction."""
        self._careful, self._too_large = False, None
        await self._begin()

    async def _begin(self) -> None:
        self._failure = None
        self._known = self._careful, self._too_large
        await self._producer().begin()

    async def add(self, shipment: Shipment) -> None:
        """Queue scores, then dead letters. A failure is kept for `close`, as the transaction must be aborted for it."""
        if self._failure is not None:
            return
        try:
            await self._producer().queue(self._topic, shipment.keys, shipment.scores, shipment.headers)
            if self._careful:
                await self._send_carefully(shipment.letters)
            else:
                for letter in shipment.letters:
                    await self._producer().queue_record(letter)
        except DeliveryError as error:
            self._failure = error

    async def _send_carefully(self, letters: Sequence[OutgoingRecord]) -> None:
        """Send dead letters with the present time, in small groups, without values known to be too large."""
        limit = self._too_large
        for letter in letters:
            letter.timestamp = None
        fitting = [letter if limit is None or _size(letter) < limit else without_value(letter) for letter in letters]
        for group in _small_groups(fitting):
            for letter in group:
                await self._producer().queue_record(letter)
            if await self._producer().settle():
                self._take_care(group)
                raise DeliveryError("dead letters are refused by their topic")

    def _take_care(self, refused: Sequence[OutgoingRecord]) -> None:
        """Learn from letters that were refused: send the next ones carefully, and then without values so large."""
        if not self._careful:
            self._careful = True
            return
        largest = max(refused, key=_size)
        if not _size(largest):
            raise _hopeless(largest)
        self._too_large = _size(largest)

    def _has_learnt(self) -> bool:
        """Say whether the transaction has told something of refused letters."""
        return self._known != (self._careful, self._too_large)

    def lasts(self) -> bool:
        """Wait for batches that are being scored: a transaction costs several requests, however little is in it."""
        return self._ledger.any_waiting()

    async def close(self, shipments: Sequence[Shipment]) -> Sequence[Shipment]:
        """Commit; after an abort, do the whole round again for the partitions that are still this worker's."""
        confirmed: list[Shipment] = []
        vain = _Vain(self._producer().patience)
        while shipments:
            try:
                await self._commit(shipments)
            except FinalDeliveryError:
                raise
            except (AbortRequiredError, DeliveryError) as error:
                reason, stuck = str(error), False
            except SilentClientError as error:
                reason, stuck = str(error), True
            else:
                confirmed += shipments
                break
            offsets = await (self._learn(reason, shipments) if stuck else self._abort(reason, shipments))
            held = [shipment for shipment in shipments if self._ledger.holds(shipment.batch)]
            confirmed += [shipment for shipment in held if _is_done(shipment, offsets)]
            left = [shipment for shipment in held if not _is_done(shipment, offsets)]
            vain.note(news=left != shipments or self._has_learnt())
            if vain.is_hopeless:
                raise DependencyError(f"{vain.aborts} transactions in a row had to be aborted: {reason}")
            shipments = left
            if shipments:
                await vain.pause()
                await self._again(shipments)
        return confirmed

    async def _commit(self, shipments: Sequence[Shipment]) -> None:
        """Commit the open transaction, if all of it is delivered and every partition is still this worker's.

        The group's metadata is read before the partitions are looked at: if one is lost later, the broker sees that
        the metadata is old.
        """
        if self._failure is None and (refused := await self._producer().settle()):
            self._take_care(refused)
            self._failure = DeliveryError("dead letters are refused by their topic")
        if self._failure is not None:
            raise self._failure
        group = self._group()
        if not all(self._ledger.holds(shipment.batch) for shipment in shipments):
            raise DeliveryError("partitions were lost")
        await self._store({each.batch.tp: self._ledger.committable_with(each.batch) for each in shipments}, group)

    async def _store(self, offsets: Mapping[TP, int], group: Any) -> None:
        positions = positions_of(offsets, self._ledger.note)
        await self._producer().require_transactions().commit(positions, group)
        self._ledger.note_stored(offsets)
        events.OffsetsCommitted(len(offsets)).emit()

    async def rest(self) -> None:
        """Commit how far partitions were read beyond their last record: an offset a transaction, without results."""
        if not self._ledger.passed(self._ledger.owned()):
            return
        await self._begin()
        group = self._group()
        offsets = self._ledger.passed(self._ledger.owned())
        try:
            await self._store(offsets, group)
        except AbortRequiredError as error:
            await self._abort(str(error), ())
        except SilentClientError as error:
            await self._learn(str(error), ())

    async def _abort(self, reason: str, shipments: Sequence[Shipment]) -> Mapping[TP, int]:
        """Abort the open transaction; returns offsets only if the client was stuck."""
        try:
            await self._producer().require_transactions().abort(reason)
        except SilentClientError as error:
            call = str(error)
        else:
            refused = await self._producer().forget_failures()
            # Nothing can be queued in a failed transaction: `add` may have met that before it heard of the reason.
            if refused and not self._has_learnt():
                self._take_care(refused)
            return {}
        return await self._learn(call, shipments)

    async def _learn(self, call: str, shipments: Sequence[Shipment]) -> Mapping[TP, int]:
        """Replace the client that is stuck in `call`; returns what is committed when nothing is pending any more.

        Another member may have committed a partition that this one lost unawares: that counts as well, as its results
        are there.
        """
        tps = {shipment.batch.tp for shipment in shipments if self._ledger.holds(shipment.batch)}
        producer = self._producer()
        try:
            async with asyncio.timeout(producer.patience.total):
                await producer.renew(call)
                offsets = await self._committed(tps) if tps else {}
        except TimeoutError as silence:
            raise DependencyError("the transaction coordinator does not answer in time") from silence
        done = {shipment.batch.tp for shipment in shipments if _is_done(shipment, offsets)}
        events.TransactionSettled(len(done), len(tps - done)).emit()
        return offsets

    async def _again(self, shipments: Sequence[Shipment]) -> None:
        """Do what is left of an aborted round once more."""
        await self._begin()
        for shipment in shipments:
            await self.add(shipment)


class _Vain:
    """Counts transactions that were aborted in a row, without any news since the first of them."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since = time.monotonic()
        self.aborts = 0

    def note(self, *, news: bool) -> None:
        """An abort: with news, the next attempt may well succeed."""
        self.aborts = 0 if news else self.aborts + 1
        if news:
            self._since = time.monotonic()

    @property
    def is_hopeless(self) -> bool:
        """Whether there were many of them, for long."""
        return self.aborts >= _VAIN_ABORTS and time.monotonic() - self._since > self._patience.total

    async def pause(self) -> None:
        """Let the consumer's thread learn of a rebalance, or that the group has forgotten it."""
        await asyncio.sleep(min(self._patience.pause * (self.aborts + 1), self._patience.call))


def _is_done(shipment: Shipment, offsets: Mapping[TP, int]) -> bool:
    return offsets.get(shipment.batch.tp, -1) >= shipment.batch.next_offset


def _size(letter: OutgoingRecord) -> int:
    return len(letter.value or b"")


def _small_groups(letters: Iterable[OutgoingRecord]) -> Iterator[list[OutgoingRecord]]:
    """Yield letters in order, in groups of a few kilobytes; a larger one stands alone."""
    group: list[OutgoingRecord] = []
    total = 0
    for letter in letters:
        weight = _size(letter) + len(letter.key or b"") + sum(len(text or b"") for _, text in letter.headers)
        if group and total + weight > _GROUP_BYTES:
            yield group
            group, total = [], 0
        group.append(letter)
        total += weight
    if group:
        yield group


def _hopeless(letter: OutgoingRecord) -> DependencyError:
    return DependencyError(f"a dead letter without its value is too large for {letter.topic}")
