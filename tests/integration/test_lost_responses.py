"""Requests that are executed, but whose response is lost or late: the same laws for the simulated and a real Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator
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


LATE_SECONDS: Final = 0.5
"""Less than any client waits for a response."""


class LosingKafka(Kafka, Protocol):
    """A broker that can lose a response."""

    def lose_response(self, kind: str) -> None:
        """Lose the response to the next request of this kind, together with its connection."""

    def has_lost_response(self) -> bool:
        """Whether that has happened."""

    def delay_response(self, kind: str, seconds: float) -> None:
        """Delay the response to the next request of this kind, and with it the connection's later ones."""


class ResponseLosingProxy(Proxy):
    """Forwards whole messages. For a request of the kind `loses`, the connection is closed instead of the response.

    The response to the next request of the kind `delays` is delayed by `seconds`.
    """

    loses: int | None = None
    delays: int | None = None
    seconds = 0.0

    def __init__(self, proxy: Proxy) -> None:
        """Replace `proxy`, which must have vanished."""
        super().__init__(proxy.port, proxy.target)
        self._awaited: set[Link] = set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        is_request = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await requests.read_message(reader)
                if is_request and struct.unpack_from(">h", message) == (self.loses,):
                    self.loses, link.broken = None, True
                elif is_request and struct.unpack_from(">h", message) == (self.delays,):
                    self.delays = None
                    self._awaited.add(link)
                elif not is_request and link in self._awaited:
                    self._awaited.discard(link)
                    await asyncio.sleep(self.seconds)
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

    def delay_response(self, kind: str, seconds: float) -> None:
        self._proxy.seconds, self._proxy.delays = seconds, _KEYS[kind]


class SimulatedLosingKafka(SimulatedKafka):
    """The broker of the simulation."""

    def lose_response(self, kind: str) -> None:
        self._cluster.network.unanswered.add(kind)

    def has_lost_response(self) -> bool:
        return not self._cluster.network.unanswered

    def delay_response(self, kind: str, seconds: float) -> None:
        self._cluster.network.delayed[kind] = seconds


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


def commit_two(kafka: LosingKafka, disturb: Callable[[], None], is_disturbed: Callable[[], bool]) -> None:
    """Commit two transactions, each of a record and an offset, and disturb the first; each takes effect once."""
    reader = reader_of(kafka, 1)
    writer = Writer.in_transactions(kafka)
    disturb()
    for offset, value in ((3, b"first"), (4, b"second")):
        writer.client.begin_transaction()
        writer.send(0, value)
        group = reader.consumer.consumer_group_metadata()
        writer.client.send_offsets_to_transaction(at(kafka, offset), group, 30)
        writer.client.commit_transaction(30)
        assert is_disturbed()
        assert stored(kafka, reader) == offset
    until(kafka, lambda: len(reader.values) == 2, reader)
    assert [value for _, _, value in reader.values] == [b"first", b"second"]


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
    kafka.run(lambda: commit_two(kafka, lambda: kafka.lose_response(kind), kafka.has_lost_response))


@law
def test_a_member_joins_after_its_join_response_was_lost(kafka: LosingKafka) -> None:
    """A member whose JoinGroup response was lost joins with its next request, and gets one assignment."""
    kafka.create(1)
    kafka.lose_response(network.JOIN)
    reader = Reader(kafka)
    until(kafka, lambda: reader.owned() == [0], reader)
    assert kafka.has_lost_response()
    assert reader.calls == [("assigned", [0])]


@law
def test_a_late_response_ends_a_synchronous_commit(kafka: LosingKafka) -> None:
    """The call waits for the response, and the offset is stored once."""
    reader = reader_of(kafka, 1)
    kafka.delay_response(network.OFFSET_COMMIT, LATE_SECONDS)
    before = kafka.now()
    reader.consumer.commit(offsets=at(kafka, 3), asynchronous=False)
    assert kafka.now() - before >= LATE_SECONDS
    assert stored(kafka, reader) == 3


@law
def test_an_asynchronous_commit_has_its_callback_with_the_late_response(kafka: LosingKafka) -> None:
    """The offset is stored at once; the callback comes once, with the response."""
    reader = reader_of(kafka, 1)
    kafka.delay_response(network.OFFSET_COMMIT, LATE_SECONDS)
    before = kafka.now()
    reader.consumer.commit(offsets=at(kafka, 3), asynchronous=True)
    until(kafka, lambda: reader.commits, reader)
    assert kafka.now() - before >= LATE_SECONDS
    assert reader.commits == [None]
    assert stored(kafka, reader) == 3


@pytest.mark.parametrize("kind", [network.TXN_OFFSET_COMMIT, network.END_TXN])
def test_a_transaction_with_a_late_response_is_committed_once(kafka: LosingKafka, kind: str) -> None:
    """The call that waits for it takes as long, and the next transaction succeeds."""
    began = [0.0]

    def delay() -> None:
        kafka.delay_response(kind, LATE_SECONDS)
        began[0] = kafka.now()

    kafka.run(lambda: commit_two(kafka, delay, lambda: kafka.now() - began[0] >= LATE_SECONDS))
