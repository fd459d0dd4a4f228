"""Exactly-once with a client that hangs: each result is committed once, whatever happened to the call."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from confluent_kafka import KafkaError
from faust.types import TP
from msgspec import structs

from schemas.errors import DependencyError
from tests.fakes.kafka_clients import (
    QUICK,
    FakeBroker,
    FakeClient,
    GapClient,
    RefusingClient,
    RepeatingClient,
    new_producer,
)
from tests.unit.worker.ledgers import OTHER, TOPIC, enter, granted
from worker.delivery.exactly_once import ExactlyOnce
from worker.kafka.ledger import Ledger
from worker.kafka.outgoing_record import OutgoingRecord
from worker.kafka.producer import LibrdkafkaProducer
from worker.scored_batch import ScoredBatch


def scored_batch(ledger: Ledger, tp: TP, value: bytes) -> ScoredBatch:
    """Return the outcomes of a batch of ten records, offsets 0 to 9."""
    batch = enter(ledger, 0, tp=tp)
    assert ledger.start(batch)
    return ScoredBatch(batch, [None], [value], [], (), 10, 0.0)


def exactly_once(producer: LibrdkafkaProducer, broker: FakeBroker, ledger: Ledger) -> ExactlyOnce:
    member: Any = broker
    return ExactlyOnce(lambda: producer, "scores", ledger, lambda: member, broker.committed)


async def publish(
    guarantee: ExactlyOnce, scored_batches: list[ScoredBatch], producer: LibrdkafkaProducer
) -> list[ScoredBatch]:
    """Publish one flush."""
    async with producer:
        await guarantee.open()
        for each in scored_batches:
            await guarantee.add(each)
        return list(await guarantee.close(scored_batches))


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "init_transactions"])
async def test_a_flush_is_committed_once_in_whichever_call_its_client_hangs(call: str, done: bool) -> None:  # noqa: FBT001
    """Whether or not the hanging call took effect, results and offsets of both partitions are committed once."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    stuck = FakeClient(broker, call, done=done)
    producer = new_producer(broker, stuck)
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets) == ([b"one", b"two"], {TOPIC: 10, OTHER: 10})
    assert confirmed == scored_batches


@pytest.mark.parametrize("done", [False, True])
async def test_a_hanging_abort_repeats_nothing(done: bool) -> None:  # noqa: FBT001
    """The next client repeats a transaction that had to be aborted and could not be."""
    broker, ledger = FakeBroker(refusals=1), granted()
    stuck = FakeClient(broker, "abort_transaction", done=done)
    producer = new_producer(broker, stuck)
    scored_batches = [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets, confirmed) == ([b"one"], {TOPIC: 10}, scored_batches)


async def test_a_client_that_hangs_is_not_called_again() -> None:
    """The next client has its transactional id."""
    broker, ledger = FakeBroker(), granted()
    stuck, heir = FakeClient(broker, "commit_transaction"), FakeClient(broker)
    producer = new_producer(broker, stuck, heir)
    await publish(exactly_once(producer, broker, ledger), [scored_batch(ledger, TOPIC, b"one")], producer)
    assert (stuck.calls[-1], heir.calls[0]) == ("commit_transaction", "init_transactions")
    assert heir.config["transactional.id"] == stuck.config["transactional.id"]


async def test_callbacks_of_a_replaced_client_are_ignored() -> None:
    """Even a fatal error that it reports later does not affect its successor."""
    broker = FakeBroker()
    stuck = FakeClient(broker, "init_transactions")
    producer = new_producer(broker, stuck)
    async with producer:
        await producer.begin()
        stuck.config["error_cb"](KafkaError(KafkaError._FENCED, "fenced", True))
        stuck.config["on_delivery"](KafkaError(KafkaError._MSG_TIMED_OUT), None)
        assert await producer.await_deliveries() == []


async def test_a_partition_that_was_lost_meanwhile_is_not_repeated() -> None:
    """One of two partitions is reassigned while the client hangs: only the other one is repeated."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    stuck = FakeClient(broker, "commit_transaction")
    producer = new_producer(broker, stuck)
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    publishing = asyncio.create_task(publish(exactly_once(producer, broker, ledger), scored_batches, producer))
    assert await asyncio.to_thread(stuck.is_stuck.wait, 5)
    ledger.remove([OTHER])
    assert (await publishing, broker.results, broker.offsets) == (scored_batches[:1], [b"one"], {TOPIC: 10})


async def test_a_partition_that_another_worker_has_committed_is_not_repeated() -> None:
    """If the group's offset has passed the batch, its results are not sent again."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    producer = new_producer(broker, FakeClient(broker, "commit_transaction"))
    broker.offsets[OTHER] = 15
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets) == ([b"one"], {TOPIC: 10, OTHER: 15})
    assert sorted(each.scores[0] for each in confirmed) == [b"one", b"two"]


@pytest.mark.parametrize("size", [2_000, 20_000])
async def test_an_oversized_letter_is_found_after_two_aborts(size: int) -> None:
    """Sent with others or alone, it is then sent without its value."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    clients = [RefusingClient(broker, 1_000) for _ in range(3)]
    producer = new_producer(broker, *clients)
    letters = [OutgoingRecord("dead-letters", None, value, []) for value in (b"small", os.urandom(size), b"other")]
    scored_batches = [
        structs.replace(scored_batch(ledger, TOPIC, b"one"), letters=letters),
        scored_batch(ledger, OTHER, b"two"),
    ]
    confirmed = await asyncio.wait_for(publish(exactly_once(producer, broker, ledger), scored_batches, producer), 4)
    assert (confirmed, broker.offsets) == (scored_batches, {TOPIC: 10, OTHER: 10})
    assert broker.results == [b"one", b"small", b"", b"other", b"two"]
    assert [client.calls.count("abort_transaction") for client in clients] == [1, 1, 0]
    assert broker.questions == 1, "of a transaction that has failed already, nobody asks whose topic it is"


async def test_a_transaction_that_must_be_aborted_is_not_waited_for() -> None:
    """Its records would wait for their delivery timeout; the flush is repeated within a second instead."""
    broker, ledger = FakeBroker(), granted()
    client = GapClient(broker)
    producer = new_producer(broker, client)
    scored_batches = [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await asyncio.wait_for(publish(exactly_once(producer, broker, ledger), scored_batches, producer), 4)
    assert (confirmed, broker.results, broker.offsets) == (scored_batches, [b"one"], {TOPIC: 10})
    assert client.calls.count("abort_transaction") == 1


async def test_a_client_that_was_refused_a_record_begins_no_further_transaction() -> None:
    """Brokers would reject its next record of that partition because of the sequence gap."""
    broker, ledger = FakeBroker(), granted()
    clients = [RefusingClient(broker, 1_000) for _ in range(3)]
    producer = new_producer(broker, *clients)
    letters = [OutgoingRecord("dead-letters", None, os.urandom(20_000), [])]
    scored_batches = [structs.replace(scored_batch(ledger, TOPIC, b"one"), letters=letters)]
    await asyncio.wait_for(publish(exactly_once(producer, broker, ledger), scored_batches, producer), 4)
    begun = [
        call for client in clients for call in client.calls if call.endswith(("begin_transaction", "init_transactions"))
    ]
    assert begun == ["init_transactions", "begin_transaction"] * 3


async def test_a_refused_generation_is_reported_to_the_consumer() -> None:
    """Offsets of an older generation are refused, those of the next transaction are not."""
    broker, ledger = FakeBroker(refusals=1), granted()
    producer = new_producer(broker)
    await publish(exactly_once(producer, broker, ledger), [scored_batch(ledger, TOPIC, b"one")], producer)
    assert broker.refused == [True, False]


async def test_nothing_is_committed_for_a_recreated_topic() -> None:
    """Its records are read again from the first one, so their results would be repeated."""
    broker, ledger = FakeBroker(), granted()
    producer = new_producer(broker)
    guarantee, batch = exactly_once(producer, broker, ledger), scored_batch(ledger, TOPIC, b"one")
    async with producer:
        await guarantee.open()
        await guarantee.add(batch)
        broker.topic = "two"
        with pytest.raises(DependencyError, match="another topic"):
            await guarantee.close([batch])
    assert (broker.results, broker.offsets) == ([], {})


async def test_a_flush_fails_when_no_client_returns() -> None:
    """It fails after the total time limit, and nothing is committed."""
    broker, ledger = FakeBroker(), granted()
    stuck = FakeClient(broker, "commit_transaction")
    producer = new_producer(broker, stuck, timeouts=structs.replace(QUICK, total=0.5))
    guarantee, batch = exactly_once(producer, broker, ledger), scored_batch(ledger, TOPIC, b"one")
    async with producer:
        await guarantee.open()
        await guarantee.add(batch)
        broker.outage = "init_transactions"
        with pytest.raises(DependencyError, match="coordinator does not answer in time"):
            await asyncio.wait_for(guarantee.close([batch]), 5)
    assert (broker.results, broker.offsets) == ([], {})


async def test_transactions_are_initialized_at_start() -> None:
    """A predecessor's open transaction is aborted when the worker starts, even if there is nothing to do."""
    broker = FakeBroker()
    broker.open_results = [b"left open"]
    async with new_producer(broker):
        assert await asyncio.to_thread(broker.fenced.wait, 5)
    assert (broker.open_results, broker.results) == ([], [])


async def test_a_start_waits_for_the_coordinator() -> None:
    """Clients are replaced until the coordinator answers one; then a flush succeeds."""
    broker, ledger = FakeBroker(outage="init_transactions"), granted()
    clients = [FakeClient(broker) for _ in range(3)]
    producer = new_producer(broker, *clients, timeouts=structs.replace(QUICK, silence=0.06))
    async with producer:
        assert await asyncio.to_thread(clients[-1].is_stuck.wait, 5)
        broker.outage = ""
        guarantee, batch = exactly_once(producer, broker, ledger), scored_batch(ledger, TOPIC, b"one")
        await guarantee.open()
        await guarantee.add(batch)
        assert await guarantee.close([batch]) == [batch]
    assert broker.results == [b"one"]


async def test_refused_commits_are_retried_until_the_member_has_rejoined() -> None:
    """Thirty refusals in a row within the time limit: the flush goes on and is committed once."""
    broker, ledger = FakeBroker(refusals=30), granted()
    producer, scored_batches = new_producer(broker), [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (confirmed, broker.results, broker.refusals) == (scored_batches, [b"one"], 0)


async def test_a_flush_fails_when_every_commit_is_refused() -> None:
    """It fails after the total time limit, and nothing is committed."""
    broker, ledger = FakeBroker(refusals=1_000_000), granted()
    producer = new_producer(broker, timeouts=structs.replace(QUICK, total=0.1))
    with pytest.raises(DependencyError, match="transactions in a row had to be aborted"):
        await publish(exactly_once(producer, broker, ledger), [scored_batch(ledger, TOPIC, b"one")], producer)
    assert broker.results == []


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "begin_transaction"])
async def test_a_client_whose_transaction_timed_out_is_replaced(call: str) -> None:
    """The coordinator fences it, and a new client repeats the flush once."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    late = FakeClient(broker, fenced_in=call)
    producer = new_producer(broker, late)
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets) == ([b"one", b"two"], {TOPIC: 10, OTHER: 10})
    assert confirmed == scored_batches
    assert late.calls[-1] == call


async def test_a_client_that_is_fenced_while_results_are_in_flight_is_replaced() -> None:
    """The client reports the fatal error at its next poll."""
    broker, ledger = FakeBroker(), granted()
    late = FakeClient(broker, fenced_in="poll")
    producer = new_producer(broker, late)
    scored_batches = [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets, confirmed) == ([b"one"], {TOPIC: 10}, scored_batches)


@pytest.mark.parametrize("refusals", [0, 1, 2])
async def test_a_late_duplicate_request_finds_a_newer_epoch(refusals: int) -> None:
    """A second copy of a slow request arrives in the next transaction: each result is committed once."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    producer = new_producer(broker, *(RepeatingClient(broker) for _ in range(9)))
    producer.client_config = {**producer.client_config, "retry.backoff.ms": 0}
    guarantee = exactly_once(producer, broker, ledger)
    async with producer:
        for tp, value in ((TOPIC, b"one"), (OTHER, b"two")):
            batch = scored_batch(ledger, tp, value)
            await guarantee.open()
            await guarantee.add(batch)
            assert await guarantee.close([batch]) == [batch]
            broker.refusals = refusals
    assert (broker.results, broker.offsets) == ([b"one", b"two"], {TOPIC: 10, OTHER: 10})


async def test_a_client_whose_calls_are_fast_is_kept() -> None:
    """If no call took long enough for a duplicate request, one client runs every transaction."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    producer = new_producer(broker)
    guarantee = exactly_once(producer, broker, ledger)
    async with producer:
        for tp in (TOPIC, OTHER):
            batch = scored_batch(ledger, tp, b"one")
            await guarantee.open()
            await guarantee.add(batch)
            await guarantee.close([batch])
    assert broker.epoch == 1
