"""The embedded Kafka is a real Apache Kafka, keeps its data, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from heartstream.brokers import await_broker
from heartstream.embedded_kafka.installation import Installation
from heartstream.embedded_kafka.preparation import install
from heartstream.embedded_kafka.server import KafkaServer, running_kafka
from runtime.kafka.topics import create_topics
from schemas.errors import DependencyError
from tests.support.waiting import await_condition

WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def installation() -> Installation:
    return install(os.environ.get("HEARTSTREAM_EMBEDDED_KAFKA__MAVEN_REPOSITORY", ""))


@pytest.fixture(scope="module")
def kafka(installation: Installation) -> Iterator[KafkaServer]:
    with running_kafka(installation) as server:
        await_broker(server.address)
        yield server


@pytest.fixture
def topic(kafka: KafkaServer) -> str:
    name = f"topic-{uuid.uuid4().hex[:8]}"
    create_topics(kafka.address, [name], 2, {})
    return name


def produce(server: KafkaServer, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": server.address, "log_level": 2})
    producer.produce(topic, value)
    assert producer.flush(WAIT_SECONDS) == 0


def read(server: KafkaServer, topic: str, count: int, **options: str) -> list[bytes | None]:
    """Read so many values with a new consumer group."""
    named = {name.replace("_", "."): value for name, value in options.items()}
    group = {"group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest", "log_level": 2}
    consumer = Consumer({"bootstrap.servers": server.address, **group, **named})
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, WAIT_SECONDS)
    finally:
        consumer.close()
    assert [message.error() for message in messages] == [None] * count
    return [message.value() for message in messages]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_both_group_protocols_work(kafka: KafkaServer, topic: str, protocol: str) -> None:
    """The classic one, and that of Kafka 4 (KIP-848)."""
    produce(kafka, topic, b"1")
    assert read(kafka, topic, 1, group_protocol=protocol) == [b"1"]


def test_transactions_work(kafka: KafkaServer, topic: str) -> None:
    """A read_committed consumer sees the committed record."""
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": topic, "log_level": 2})
    producer.init_transactions(WAIT_SECONDS)
    producer.begin_transaction()
    producer.produce(topic, b"1")
    producer.commit_transaction(WAIT_SECONDS)
    assert read(kafka, topic, 1, isolation_level="read_committed") == [b"1"]


@pytest.mark.parametrize("end", [KafkaServer.stop, KafkaServer.kill])
def test_data_survives_a_restart(installation: Installation, end: object) -> None:
    """Stopped or killed, it has its records and its address when it is started again."""
    with running_kafka(installation) as server:
        create_topics(server.address, ["kept"], 1, {})
        produce(server, "kept", b"1")
        end(server)
        server.start()
        assert read(server, "kept", 1) == [b"1"]


def test_a_frozen_broker_answers_once_it_is_thawed(kafka: KafkaServer, topic: str) -> None:
    """Requests wait until then."""
    kafka.freeze()
    with ThreadPoolExecutor(1) as pool:
        producing = pool.submit(produce, kafka, topic, b"1")
        try:
            with pytest.raises(TimeoutError):
                producing.result(2)
        finally:
            kafka.thaw()
        producing.result(WAIT_SECONDS)


def test_it_leaves_nothing_behind(installation: Installation) -> None:
    """Process and folder are gone when the context ends."""
    with running_kafka(installation) as server:
        folder, pid = server.folder, server.pid
        assert (folder.is_dir(), is_running(pid)) == (True, True)
    assert (folder.exists(), is_running(pid)) == (False, False)


PARENT = """
import sys
from heartstream.embedded_kafka.preparation import install
from heartstream.embedded_kafka.server import running_kafka
with running_kafka(install()) as server:
    print(server.folder, server.pid, server.supervisor_pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed", ["parent", "supervisor", "parent while frozen"])
def test_it_ends_with_its_parent(killed: str) -> None:
    """If the parent or its supervisor is killed the broker ends, and its folder is removed."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        folder, pid, supervisor = parent.stdout.readline().split()
        if "frozen" in killed:
            os.kill(int(pid), signal.SIGSTOP)
        os.kill(int(supervisor) if killed == "supervisor" else parent.pid, signal.SIGKILL)
        await_condition(lambda: not is_running(int(pid)), WAIT_SECONDS)
        parent.stdin.close()
    await_condition(lambda: not Path(folder).exists(), WAIT_SECONDS)


def test_a_broker_that_cannot_start_says_why(installation: Installation) -> None:
    """The error has the end of its log."""
    with (
        pytest.raises(DependencyError, match=r"(?s)its log ends:.*ConfigException"),
        running_kafka(installation, properties={"log.segment.bytes": "no number"}),
    ):
        pass


def test_several_can_start_at_once(installation: Installation) -> None:
    """Each has its own port and folder."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        servers = list(pool.map(lambda _: stack.enter_context(running_kafka(installation)), range(2)))
        for server in servers:
            await_broker(server.address)
            assert len(AdminClient({"bootstrap.servers": server.address}).list_topics(timeout=10).brokers) == 1
        assert len({server.address for server in servers}) == 2


def is_running(pid: int) -> bool:
    """Return whether there is such a process that has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
