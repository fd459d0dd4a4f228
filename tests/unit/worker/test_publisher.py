"""Laws of rounds: what is sent together, and when the ledger hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import structlog

from schemas.errors import DependencyError
from tests.unit.worker.ledgers import TOPIC, HeldGuarantee, enter, granted, publishing
from worker.publisher import Publisher
from worker.scored_batch import ScoredBatch
from worker.transport.ledger import Ledger


def started(ledger: Ledger, first: int) -> ScoredBatch:
    """Return a scored_batch for a batch of ten records that is being scored."""
    batch = enter(ledger, first)
    assert ledger.start(batch)
    return ScoredBatch(batch, [None] * 10, [b"score"] * 10, [], (), 10, 0.0)


async def test_a_lone_batch_is_a_round() -> None:
    """Where nothing else is at hand, a round ends with its first batch: no timer holds it back."""
    ledger, guarantee = granted(), HeldGuarantee()
    scored_batch = started(ledger, 0)
    async with publishing(ledger, guarantee) as publisher:
        publisher.put(scored_batch)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
    assert guarantee.rounds == [[scored_batch]]


async def test_what_comes_while_a_round_waits_is_the_next_round() -> None:
    """Batches that were put meanwhile go together, up to the limit; the rest is a third round."""
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


async def test_what_comes_while_a_round_lasts_is_sent_at_once() -> None:
    """A batch joins the open round without waiting for its confirmation; the round ends when it lasts no longer."""
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


async def test_a_round_ends_when_its_time_is_over() -> None:
    """However long it might last: what is confirmed must become known."""
    ledger, guarantee = granted(), HeldGuarantee()
    guarantee.more, guarantee.linger = True, 0.01
    async with publishing(ledger, guarantee) as publisher:
        publisher.put(started(ledger, 0))
        await asyncio.wait_for(guarantee.closing.wait(), 5)


async def test_a_confirmed_flush_is_logged_with_its_records(caplog: pytest.LogCaptureFixture) -> None:
    """At debug level: the offsets of its records by partition, runs that follow each other as one."""
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


async def test_the_ledger_hears_of_confirmed_batches_alone() -> None:
    """Nothing is committable before its round is confirmed, nor what was lost in it."""
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


async def test_room_is_bounded_and_given_back() -> None:
    """What is outstanding never exceeds the limit, but a batch beyond it is taken when it is alone."""
    publisher = Publisher(
        HeldGuarantee(), granted(), 30, in_flight_max_records=20, clock=asyncio.get_running_loop().time
    )
    await publisher.reserve(1_000)
    second = asyncio.create_task(publisher.reserve(10))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(second), 0.05)
    publisher.release(1_000)
    await asyncio.wait_for(second, 5)


async def test_a_failed_round_ends_publishing() -> None:
    """A round that can never be confirmed raises out of `run`, with nothing told to the ledger."""

    class Failing(HeldGuarantee):
        async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
            raise DependencyError(f"{len(scored_batches)} undeliverable")

    ledger = granted()
    publisher = Publisher(Failing(), ledger, 30, in_flight_max_records=20, clock=asyncio.get_running_loop().time)
    publisher.put(started(ledger, 0))
    with pytest.raises(DependencyError, match="1 undeliverable"):
        await asyncio.wait_for(publisher.run(), 5)
    assert ledger.take_committable() == {}
