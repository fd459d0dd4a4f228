"""Which scored batches are flushed together, and when the ledger marks them as finished."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from schemas.errors import DependencyError
from tests.unit.worker.ledgers import TOPIC, HeldGuarantee, enter, granted, publishing
from worker.kafka.ledger import Ledger
from worker.publisher import Publisher
from worker.scored_batch import ScoredBatch


def started(ledger: Ledger, first: int) -> ScoredBatch:
    """Return the outcomes of a batch of ten records that is being scored."""
    batch = enter(ledger, first)
    assert ledger.start(batch)
    return ScoredBatch(batch, [None] * 10, [b"score"] * 10, [], (), 10, 0.0)


async def test_a_single_batch_is_flushed_at_once() -> None:
    """With no other batch at hand a flush has one batch: no linger time delays it."""
    ledger, guarantee = granted(), HeldGuarantee()
    scored_batch = started(ledger, 0)
    async with publishing(ledger, guarantee) as publisher:
        publisher.put(scored_batch)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
    assert guarantee.rounds == [[scored_batch]]


async def test_batches_that_arrive_during_a_confirmation_form_the_next_flush() -> None:
    """They are flushed together up to the record limit; the rest forms a third flush."""
    ledger, guarantee = granted(), HeldGuarantee()
    scored_batches = [started(ledger, first) for first in range(0, 50, 10)]
    async with publishing(ledger, guarantee) as publisher:
        publisher.put(scored_batches[0])
        await asyncio.wait_for(guarantee.closing.wait(), 5)
        for scored_batch in scored_batches[1:]:
            publisher.put(scored_batch)
        guarantee.confirm.set()
        await asyncio.wait_for(asyncio.to_thread(ledger.wait_idle, {TOPIC}, 5), 5)
    assert guarantee.rounds == [scored_batches[:1], scored_batches[1:4], scored_batches[4:]]


async def test_batches_that_arrive_during_an_open_flush_join_it() -> None:
    """They are sent without waiting for a confirmation; the flush ends when the guarantee extends it no longer."""
    ledger, guarantee = granted(), HeldGuarantee()
    guarantee.more = True
    first, second = started(ledger, 0), started(ledger, 10)
    async with publishing(ledger, guarantee) as publisher:
        for scored_batch in (first, second):
            guarantee.added.clear()
            publisher.put(scored_batch)
            await asyncio.wait_for(guarantee.added.wait(), 5)
        assert not guarantee.closing.is_set()
        guarantee.more = False
        await asyncio.wait_for(guarantee.closing.wait(), 5)
    assert guarantee.rounds == [[first, second]]


async def test_a_flush_ends_after_its_maximum_time() -> None:
    """Even if it could be extended: confirmed results must become visible."""
    ledger, guarantee = granted(), HeldGuarantee()
    guarantee.more, guarantee.linger = True, 0.01
    async with publishing(ledger, guarantee) as publisher:
        publisher.put(started(ledger, 0))
        await asyncio.wait_for(guarantee.closing.wait(), 5)


async def test_a_confirmed_flush_is_logged_with_its_records(caplog: pytest.LogCaptureFixture) -> None:
    """The debug line has the offsets by partition, with consecutive ranges merged."""
    caplog.set_level("DEBUG", "heartstream")
    ledger, guarantee = granted(), HeldGuarantee()
    scored_batches = [started(ledger, first) for first in (0, 10, 30)]
    guarantee.confirm.set()
    with structlog.testing.capture_logs() as lines:
        async with publishing(ledger, guarantee) as publisher:
            for scored_batch in scored_batches:
                publisher.put(scored_batch)
            await asyncio.wait_for(asyncio.to_thread(ledger.wait_idle, {TOPIC}, 5), 5)
    assert lines == [{"log_level": "debug", "event": "flush confirmed", "ranges": {0: [[0, 20], [30, 40]]}}]


async def test_only_confirmed_batches_are_finished() -> None:
    """Nothing is committable before its flush is confirmed, nor is a batch that was lost in it."""
    ledger, guarantee = granted(), HeldGuarantee()
    kept, lost = started(ledger, 0), started(ledger, 10)
    guarantee.lost = [lost]
    async with publishing(ledger, guarantee) as publisher:
        await publisher.reserve(20)
        publisher.put(kept)
        publisher.put(lost)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
        before = ledger.take_committable()
        guarantee.confirm.set()
        await publisher.reserve(1)
    assert (before, ledger.take_committable()) == ({}, {TOPIC: 10})


async def test_records_in_flight_are_bounded() -> None:
    """They never exceed the limit, except that a single larger batch is accepted when nothing else is in flight."""
    publisher = Publisher(
        HeldGuarantee(), granted(), 30, in_flight_max_records=20, clock=asyncio.get_running_loop().time
    )
    await publisher.reserve(1_000)
    second = asyncio.create_task(publisher.reserve(10))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(second), 0.05)
    publisher.release(1_000)
    await asyncio.wait_for(second, 5)


async def test_a_failed_flush_ends_publishing() -> None:
    """A flush that can never be confirmed raises out of `run`, and nothing becomes committable."""

    class Failing(HeldGuarantee):
        async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
            raise DependencyError(f"{len(scored_batches)} undeliverable")

    ledger = granted()
    publisher = Publisher(Failing(), ledger, 30, in_flight_max_records=20, clock=asyncio.get_running_loop().time)
    publisher.put(started(ledger, 0))
    with pytest.raises(DependencyError, match="1 undeliverable"):
        await asyncio.wait_for(publisher.run(), 5)
    assert ledger.take_committable() == {}
