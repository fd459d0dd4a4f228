"""Requests that are done and whose answer is lost: the same laws on the simulated Kafka and on a real one."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Final, Protocol

import pytest
from confluent_kafka import TopicPartition

from tests.fakes import kafka_requests as requests
from tests.fakes.tcp_proxy import Link, Proxy
from tests.integration.kafkas import Kafka, Reader, RealKafka, SimulatedKafka, Writer, at, law, reader_of, until
from tests.simulation import network
from tests.support.proxied_broker import Broker, running_broker

_KEYS: Final = {
    network.OFFSET_COMMIT: requests.OFFSET_COMMIT,
    network.TXN_OFFSET_COMMIT: requests.TXN_OFFSET_COMMIT,
    network.END_TXN: requests.END_TXN,
    network.JOIN: 11,
}


class LosingKafka(Kafka, Protocol):
    """A broker that can lose an answer."""

    def lose_answer(self, kind: str) -> None:
        """Lose the answer to the next request of this kind, with its connection."""

    def has_lost_it(self) -> bool:
        """Say whether that has happened."""


class AnswerLosingProxy(Proxy):
    """Carries whole messages. A request of the kind `loses` goes on, and its connection ends in place of the answer."""

    loses: int | None = None

    def __init__(self, proxy: Proxy) -> None:
        """Take the place of `proxy`, which must have vanished."""
        super().__init__(proxy.port, proxy.target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        asks = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await requests.read_message(reader)
                if asks and struct.unpack_from(">h", message) == (self.loses,):
                    self.loses, link.broken = None, True
                elif link.broken:
                    return
                writer.write(struct.pack(">i", len(message)) + message)
                await writer.drain()


class RealLosingKafka(RealKafka):
    """A broker behind a proxy."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker.proxied)
        proxy = broker.interposed()
        assert isinstance(proxy, AnswerLosingProxy)
        self._proxy = proxy

    def lose_answer(self, kind: str) -> None:
        self._proxy.loses = _KEYS[kind]

    def has_lost_it(self) -> bool:
        return self._proxy.loses is None


class SimulatedLosingKafka(SimulatedKafka):
    """The simulation's broker."""

    def lose_answer(self, kind: str) -> None:
        self._cluster.network.unanswered.add(kind)

    def has_lost_it(self) -> bool:
        return not self._cluster.network.unanswered


@pytest.fixture(scope="module")
def proxied() -> Iterator[Broker]:
    with running_broker() as broker:
        broker.interpose(AnswerLosingProxy)
        yield broker
        broker.heal()


@pytest.fixture(params=["simulated", "real"])
def kafka(request: pytest.FixtureRequest) -> Iterator[LosingKafka]:
    if request.param == "simulated":
        yield SimulatedLosingKafka()
        return
    with closing(RealLosingKafka(request.getfixturevalue("proxied"))) as kafka:
        yield kafka


def stored(kafka: LosingKafka, reader: Reader) -> int:
    """Return the group's offset of the first partition."""
    (found,) = reader.consumer.committed([TopicPartition(kafka.topic, 0)], timeout=30)
    return int(found.offset)


@law
def test_an_offset_commit_whose_answer_is_lost_is_sent_again(kafka: LosingKafka) -> None:
    reader = reader_of(kafka, 1)
    kafka.lose_answer(network.OFFSET_COMMIT)
    reader.consumer.commit(offsets=at(kafka, 3), asynchronous=False)
    assert kafka.has_lost_it()
    assert stored(kafka, reader) == 3


@law
def test_an_asynchronous_commit_whose_answer_is_lost_is_answered_once(kafka: LosingKafka) -> None:
    reader = reader_of(kafka, 1)
    kafka.lose_answer(network.OFFSET_COMMIT)
    reader.consumer.commit(offsets=at(kafka, 3), asynchronous=True)
    until(kafka, lambda: reader.commits, reader)
    assert kafka.has_lost_it()
    assert reader.commits == [None]
    assert stored(kafka, reader) == 3


@pytest.mark.parametrize("kind", [network.TXN_OFFSET_COMMIT, network.END_TXN])
def test_a_transaction_of_which_an_answer_is_lost_is_committed_once(kafka: LosingKafka, kind: str) -> None:
    """The call that waits for the answer succeeds; the next transaction does, too."""

    def run() -> None:
        reader = reader_of(kafka, 1)
        writer = Writer.in_transactions(kafka)
        kafka.lose_answer(kind)
        for offset, value in ((3, b"first"), (4, b"second")):
            writer.client.begin_transaction()
            writer.send(0, value)
            group = reader.consumer.consumer_group_metadata()
            writer.client.send_offsets_to_transaction(at(kafka, offset), group, 30)
            writer.client.commit_transaction(30)
            assert kafka.has_lost_it()
            assert stored(kafka, reader) == offset
        until(kafka, lambda: len(reader.values) == 2, reader)
        assert [value for _, _, value in reader.values] == [b"first", b"second"]

    kafka.run(run)


@law
def test_a_member_whose_answer_to_join_is_lost_joins(kafka: LosingKafka) -> None:
    kafka.create(1)
    kafka.lose_answer(network.JOIN)
    reader = Reader(kafka)
    until(kafka, lambda: reader.owned() == [0], reader)
    assert kafka.has_lost_it()
    assert reader.calls == [("assigned", [0])]
