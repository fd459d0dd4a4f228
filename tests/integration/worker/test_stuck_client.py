"""Exactly-once when the broker's responses are lost, on a real broker with real workers."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer, TopicPartition

from tests.fakes.losing_proxy import JoinLosingProxy, LosingProxy, Loss
from tests.fakes.tcp_proxy import Mode
from tests.support.proxied_broker import Broker
from tests.support.stream import PARTITIONS, Stream
from tests.support.waiting import await_condition
from tests.support.workers import EXACTLY_ONCE, GUARANTEE, QUICK_EXPIRY, Workers, send_patients


@pytest.mark.parametrize(("loss", "committed"), [(Loss.ANSWER, True), (Loss.REQUEST, False)])
def test_a_commit_whose_response_is_lost_is_resolved(
    proxied: Broker,
    proxied_stream: Stream,
    workers: Workers,
    loss: Loss,
    committed: bool,  # noqa: FBT001
) -> None:
    """Whether or not the broker received the commit, each result is committed once, by one worker."""
    stream = proxied_stream
    proxied.proxy.vanish()
    with LosingProxy(proxied.proxy.port, proxied.proxy.target, loss) as proxy:
        with workers.start(proxied.proxied, **EXACTLY_ONCE) as worker:
            send_patients(stream, 0, 1_000)
            stream.read_all()
            stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        assert (proxy.lost, worker.process.returncode) == (1, 0)
    proxied.proxy.heal()
    (settled,) = lines(workers, "transaction settled")
    assert (stream.answered, stream.repeated()) == (1_000, 0)
    assert (settled["committed"] > 0, settled["again"] > 0) == (committed, not committed)


def test_a_member_whose_join_request_is_lost_recovers(
    proxied: Broker, proxied_stream: Stream, workers: Workers
) -> None:
    """Its client would wait for minutes, with partitions that are reassigned: the worker replaces the client."""
    stream, settings = proxied_stream, {**EXACTLY_ONCE, **QUICK_EXPIRY}
    proxied.proxy.vanish()
    with JoinLosingProxy(proxied.proxy.port, proxied.proxy.target) as proxy:
        with workers.start(proxied.proxied, **settings) as first:
            send_patients(stream, 0, 1_000)
            stream.read_all()
            proxy.armed = True
            with workers.start(stream.address, **settings) as second:
                second.await_ready()
                assert proxy.lost == 1
                send_patients(stream, 1_000, 2_000)
                await_condition(lambda: len(lines(workers, "consumer replaced")) == 1, 60)
                await_condition(lambda: len(lines(workers, "partitions lost")) == 1, 60)
                send_patients(stream, 2_000, 3_000)
                stream.read_all()
        assert first.process.returncode == 0
    proxied.proxy.heal()
    assert (stream.answered, stream.repeated()) == (3_000, 0)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_worker_that_cannot_drain_in_time_stops_cleanly(
    proxied: Broker, proxied_stream: Stream, workers: Workers, guarantee: str
) -> None:
    """On SIGTERM with an unreachable broker it exits in time with code 0 and logs that records are left."""
    stream = proxied_stream
    send_patients(stream, 0, 40_000)
    settings = {
        **QUICK_EXPIRY,
        GUARANTEE: guarantee,
        "HEARTSTREAM_WORKER__BATCH_RECORDS": "20",
        "HEARTSTREAM_WORKER__DRAIN_SECONDS": "2",
    }
    with workers.start(proxied.proxied, **settings) as worker:
        stream.read_until(lambda: stream.answered >= 1_000)
        proxied.proxy.set_mode(Mode.HOLD)
    proxied.proxy.cut()
    proxied.proxy.set_mode(Mode.PASS)
    assert worker.process.returncode == 0
    assert [line["complete"] for line in lines(workers, "worker drained")] == [False]
    with workers.start(stream.address, **{GUARANTEE: guarantee}):
        stream.read_all()
    assert stream.answered == 40_000
    assert guarantee == "at_least_once" or stream.repeated() == 0


def test_an_open_transaction_of_a_predecessor_is_aborted_at_start(group_stream: Stream, workers: Workers) -> None:
    """It blocks readers no longer than the static member's successor takes to start, even if that is idle."""
    stream = group_stream
    group = workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    left = {"transactional.id": f"{group}-one", "transaction.timeout.ms": 600_000}
    predecessor = Producer({"bootstrap.servers": stream.address, "log_level": 2, **left})
    predecessor.init_transactions(60)
    predecessor.begin_transaction()
    for number in range(100):
        predecessor.produce(stream.topics.scores, b"left open", str(number))
    assert predecessor.flush(60) == 0
    assert readable(stream) == 0
    with workers.start(stream.address, **EXACTLY_ONCE, HEARTSTREAM_WORKER__INSTANCE_ID="one"):
        stream.read_until(lambda: readable(stream) > 100)
    assert stream.answered == 0


def readable(stream: Stream) -> int:
    """Return how many offsets of the scores topic a read_committed consumer can pass."""
    positions = [TopicPartition(stream.topics.scores, number) for number in range(PARTITIONS)]
    return sum(stream._consumer.get_watermark_offsets(position, timeout=10)[1] for position in positions)


def lines(workers: Workers, event: str) -> list[dict[str, object]]:
    """Return the log lines of one event."""
    return [line for line in map(json.loads, workers.logs().splitlines()) if line.get("event") == event]
