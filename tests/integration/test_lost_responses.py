"""Requests that are executed but whose response is lost: the same laws for the simulated Kafka and a real one."""

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
    """A broker that can lose a response."""

    def lose_response(self, kind: str) -> None:
        """Lose the response to the next request of this kind, together with its connection."""

    def has_lost_response(self) -> bool:
        """Whether that has happened."""


class ResponseLosingProxy(Proxy):
    """Forwards whole messages. For a request of the kind `loses`, the connection is closed instead of the response."""

    loses: int | None = None

    def __init__(self, proxy: Proxy) -> None:
        """Replace `proxy`, which must have vanished."""
        super().__init__(proxy.port, proxy.target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        is_request = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await requests.read_message(reader)
                if is_request and struct.unpack_from(">h", message) == (self.loses,):
                    self.loses, link.broken = None, True
                elif link.broken:
                    return
                writer.write(struct.pack(">i", len(message)) + message)
                await writer.drain()


class RealLosingKafka(RealKafka):
    """A real broker behind a proxy."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker.proxied)
        proxy = broker.interposed()
        assert isinstance(proxy, ResponseLosingProxy)
        self._proxy = proxy

    def lose_response(self, kind: str) -> None:
        self._proxy.loses = _KEYS[kind]

    def has_lost_response(self) -> bool:
        return self._proxy.loses is None


class SimulatedLosingKafka(SimulatedKafka):
    """The broker of the simulation."""

    def lose_response(self, kind: str) -> None:
        self._cluster.network.unanswered.add(kind)

    def has_lost_response(self) -> bool:
        return not self._cluster.network.unanswered


@pytest.fixture(scope="module")
def proxied() -> Iterator[Broker]:
    with running_broker() as broker:
        broker.interpose(ResponseLosingProxy)
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
def test_an_offset_commit_is_retried_after_its_response_was_lost(kafka: LosingKafka) -> None:
    """A synchronous commit succeeds though its first response was lost."""
    reader = reader_of(kafka, 1)
    kafka.lose_response(network.OFFSET_COMMIT)
    reader.consumer.commit(offsets=at(kafka, 3), asynchronous=False)
    assert kafka.has_lost_response()
    assert stored(kafka, reader) == 3


@law
def test_an_asynchronous_commit_with_a_lost_response_has_one_callback(kafka: LosingKafka) -> None:
    """An asynchronous commit is retried, and its callback is called once, with success."""
    reader = reader_of(kafka, 1)
    kafka.lose_response(network.OFFSET_COMMIT)
    reader.consumer.commit(offsets=at(kafka, 3), asynchronous=True)
    until(kafka, lambda: reader.commits, reader)
    assert kafka.has_lost_response()
    assert reader.commits == [None]
    assert stored(kafka, reader) == 3


@pytest.mark.parametrize("kind", [network.TXN_OFFSET_COMMIT, network.END_TXN])
def test_a_transaction_with_a_lost_response_is_committed_once(kafka: LosingKafka, kind: str) -> None:
    """The call that waits for the lost response succeeds, and so does the next transaction."""

    def run() -> None:
        reader = reader_of(kafka, 1)
        writer = Writer.in_transactions(kafka)
        kafka.lose_response(kind)
        for offset, value in ((3, b"first"), (4, b"second")):
            writer.client.begin_transaction()
            writer.send(0, value)
            group = reader.consumer.consumer_group_metadata()
            writer.client.send_offsets_to_transaction(at(kafka, offset), group, 30)
            writer.client.commit_transaction(30)
            assert kafka.has_lost_response()
            assert stored(kafka, reader) == offset
        until(kafka, lambda: len(reader.values) == 2, reader)
        assert [value for _, _, value in reader.values] == [b"first", b"second"]

    kafka.run(run)


@law
def test_a_member_joins_after_its_join_response_was_lost(kafka: LosingKafka) -> None:
    """A member whose JoinGroup response was lost joins with its next request, and gets one assignment."""
    kafka.create(1)
    kafka.lose_response(network.JOIN)
    reader = Reader(kafka)
    until(kafka, lambda: reader.owned() == [0], reader)
    assert kafka.has_lost_response()
    assert reader.calls == [("assigned", [0])]
