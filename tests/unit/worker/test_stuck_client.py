"""Laws of exactly-once over a client that gets stuck: each result once, whatever became of the call."""

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
from worker.delivery import ExactlyOnce
from worker.scored_batch import ScoredBatch
from worker.transport.ledger import Ledger
from worker.transport.outgoing import OutgoingRecord
from worker.transport.producer import LibrdkafkaProducer


def scored_batch(ledger: Ledger, tp: TP, value: bytes) -> ScoredBatch:
    """Return the outcome of a batch of ten records, offsets 0 to 9."""
    batch = enter(ledger, 0, tp=tp)
    assert ledger.start(batch)
    return ScoredBatch(batch, [None], [value], [], (), 10, 0.0)


def exactly_once(producer: LibrdkafkaProducer, broker: FakeBroker, ledger: Ledger) -> ExactlyOnce:
    member: Any = broker
    return ExactlyOnce(lambda: producer, "scores", ledger, lambda: member, broker.committed)


async def publish(
    guarantee: ExactlyOnce, scored_batches: list[ScoredBatch], producer: LibrdkafkaProducer
) -> list[ScoredBatch]:
    """Publish one round."""
    async with producer:
        await guarantee.open()
        for each in scored_batches:
            await guarantee.add(each)
        return list(await guarantee.close(scored_batches))


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "init_transactions"])
async def test_a_round_is_there_once_wherever_its_client_is_stuck(call: str, done: bool) -> None:  # noqa: FBT001
    """Be the call done or not, the results and offsets of both partitions are committed once, and confirmed."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    stuck = FakeClient(broker, call, done=done)
    producer = new_producer(broker, stuck)
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets) == ([b"one", b"two"], {TOPIC: 10, OTHER: 10})
    assert confirmed == scored_batches


@pytest.mark.parametrize("done", [False, True])
async def test_an_abort_that_is_stuck_repeats_nothing(done: bool) -> None:  # noqa: FBT001
    """A transaction that must be aborted and cannot be is done again by the next client."""
    broker, ledger = FakeBroker(refusals=1), granted()
    stuck = FakeClient(broker, "abort_transaction", done=done)
    producer = new_producer(broker, stuck)
    scored_batches = [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets, confirmed) == ([b"one"], {TOPIC: 10}, scored_batches)


async def test_a_stuck_client_is_not_called_again() -> None:
    """After the call that it does not come back from, it hears nothing more, and the next has its id."""
    broker, ledger = FakeBroker(), granted()
    stuck, heir = FakeClient(broker, "commit_transaction"), FakeClient(broker)
    producer = new_producer(broker, stuck, heir)
    await publish(exactly_once(producer, broker, ledger), [scored_batch(ledger, TOPIC, b"one")], producer)
    assert (stuck.calls[-1], heir.calls[0]) == ("commit_transaction", "init_transactions")
    assert heir.config["transactional.id"] == stuck.config["transactional.id"]


async def test_a_stuck_client_tells_nobody_anything() -> None:
    """What it calls back after it was given up, be it fatal, changes nothing for its successor."""
    broker = FakeBroker()
    stuck = FakeClient(broker, "init_transactions")
    producer = new_producer(broker, stuck)
    async with producer:
        await producer.begin()
        stuck.config["error_cb"](KafkaError(KafkaError._FENCED, "fenced", True))
        stuck.config["on_delivery"](KafkaError(KafkaError._MSG_TIMED_OUT), None)
        assert await producer.settle() == []


async def test_a_partition_that_was_lost_is_not_done_again() -> None:
    """While the client was stuck, one of two partitions went to another worker: only the other is done again."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    stuck = FakeClient(broker, "commit_transaction")
    producer = new_producer(broker, stuck)
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    publishing = asyncio.create_task(publish(exactly_once(producer, broker, ledger), scored_batches, producer))
    assert await asyncio.to_thread(stuck.is_stuck.wait, 5)
    ledger.end([OTHER])
    assert (await publishing, broker.results, broker.offsets) == (scored_batches[:1], [b"one"], {TOPIC: 10})


async def test_a_partition_that_another_has_done_is_done() -> None:
    """Where this worker lost a partition unawares, what the group's offset has passed is not sent again."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    producer = new_producer(broker, FakeClient(broker, "commit_transaction"))
    broker.offsets[OTHER] = 15
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets) == ([b"one"], {TOPIC: 10, OTHER: 15})
    assert sorted(each.scores[0] for each in confirmed) == [b"one", b"two"]


@pytest.mark.parametrize("size", [2_000, 20_000])
async def test_a_refusal_that_is_told_after_more_was_to_be_sent_is_not_forgotten(size: int) -> None:
    """Two aborts tell which letter is too large, be it sent beside others or alone; it goes without its value."""
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


async def test_a_transaction_that_can_only_be_aborted_is_not_waited_for() -> None:
    """Its records would wait until their delivery times out; the round is done again within a second instead."""
    broker, ledger = FakeBroker(), granted()
    client = GapClient(broker)
    producer = new_producer(broker, client)
    scored_batches = [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await asyncio.wait_for(publish(exactly_once(producer, broker, ledger), scored_batches, producer), 4)
    assert (confirmed, broker.results, broker.offsets) == (scored_batches, [b"one"], {TOPIC: 10})
    assert client.calls.count("abort_transaction") == 1


async def test_a_client_that_was_refused_a_record_begins_no_further_transaction() -> None:
    """Brokers would refuse what it sends to that partition next, for the gap in its sequence."""
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


async def test_the_member_hears_whether_the_group_knows_it() -> None:
    """A transaction with offsets of an older generation is refused, the next one is not."""
    broker, ledger = FakeBroker(refusals=1), granted()
    producer = new_producer(broker)
    await publish(exactly_once(producer, broker, ledger), [scored_batch(ledger, TOPIC, b"one")], producer)
    assert broker.refused == [True, False]


async def test_nothing_is_committed_of_a_topic_that_was_made_again() -> None:
    """Its records would be read from the first on, and come again."""
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


async def test_patience_ends() -> None:
    """Where no client comes back from anything, the round fails after the whole patience, with nothing confirmed."""
    broker, ledger = FakeBroker(), granted()
    stuck = FakeClient(broker, "commit_transaction")
    producer = new_producer(broker, stuck, patience=structs.replace(QUICK, total=0.5))
    guarantee, batch = exactly_once(producer, broker, ledger), scored_batch(ledger, TOPIC, b"one")
    async with producer:
        await guarantee.open()
        await guarantee.add(batch)
        broker.outage = "init_transactions"
        with pytest.raises(DependencyError, match="coordinator does not answer in time"):
            await asyncio.wait_for(guarantee.close([batch]), 5)
    assert (broker.results, broker.offsets) == ([], {})


async def test_the_broker_knows_a_client_before_its_first_round() -> None:
    """What a predecessor left open ends when the worker starts, though there is nothing to do."""
    broker = FakeBroker()
    broker.open_results = [b"left open"]
    async with new_producer(broker):
        assert await asyncio.to_thread(broker.fenced.wait, 5)
    assert (broker.open_results, broker.results) == ([], [])


async def test_a_start_without_a_coordinator_takes_as_long_as_it_takes() -> None:
    """Clients come and go until the coordinator answers one, and then a round goes on."""
    broker, ledger = FakeBroker(outage="init_transactions"), granted()
    clients = [FakeClient(broker) for _ in range(3)]
    producer = new_producer(broker, *clients, patience=structs.replace(QUICK, silence=0.06))
    async with producer:
        assert await asyncio.to_thread(clients[-1].is_stuck.wait, 5)
        broker.outage = ""
        guarantee, batch = exactly_once(producer, broker, ledger), scored_batch(ledger, TOPIC, b"one")
        await guarantee.open()
        await guarantee.add(batch)
        assert await guarantee.close([batch]) == [batch]
    assert broker.results == [b"one"]


async def test_a_member_that_the_group_has_forgotten_waits_until_it_hears_of_it() -> None:
    """Thirty commits are refused in a row, in less time than patience lasts: the round goes on, and is there once."""
    broker, ledger = FakeBroker(refusals=30), granted()
    producer, scored_batches = new_producer(broker), [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (confirmed, broker.results, broker.refusals) == (scored_batches, [b"one"], 0)


async def test_refusals_without_end_end_the_round() -> None:
    """Where every commit is refused, the round fails when patience is over, with nothing confirmed."""
    broker, ledger = FakeBroker(refusals=1_000_000), granted()
    producer = new_producer(broker, patience=structs.replace(QUICK, total=0.1))
    with pytest.raises(DependencyError, match="transactions in a row had to be aborted"):
        await publish(exactly_once(producer, broker, ledger), [scored_batch(ledger, TOPIC, b"one")], producer)
    assert broker.results == []


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "begin_transaction"])
async def test_a_client_whose_transaction_was_ended_has_a_successor(call: str) -> None:
    """The coordinator fences a transaction that takes too long: its round is done again, once, by a new client."""
    broker, ledger = FakeBroker(), granted(TOPIC, OTHER)
    late = FakeClient(broker, fenced_in=call)
    producer = new_producer(broker, late)
    scored_batches = [scored_batch(ledger, TOPIC, b"one"), scored_batch(ledger, OTHER, b"two")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets) == ([b"one", b"two"], {TOPIC: 10, OTHER: 10})
    assert confirmed == scored_batches
    assert late.calls[-1] == call


async def test_a_client_that_is_fenced_while_results_are_on_their_way_has_a_successor() -> None:
    """The client raises a fatal error as soon as it is asked what is new."""
    broker, ledger = FakeBroker(), granted()
    late = FakeClient(broker, fenced_in="poll")
    producer = new_producer(broker, late)
    scored_batches = [scored_batch(ledger, TOPIC, b"one")]
    confirmed = await publish(exactly_once(producer, broker, ledger), scored_batches, producer)
    assert (broker.results, broker.offsets, confirmed) == ([b"one"], {TOPIC: 10}, scored_batches)


@pytest.mark.parametrize("refusals", [0, 1, 2])
async def test_a_request_that_arrives_late_finds_another_epoch(refusals: int) -> None:
    """Calls take long enough for a second request, which arrives in the next transaction: each result is there once."""
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


async def test_a_client_whose_calls_are_quick_stays() -> None:
    """Where no call took long enough for a second request, one client does every transaction."""
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
