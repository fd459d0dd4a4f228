"""`heartstream topics` creates missing topics and leaves existing ones unchanged."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka.admin import AdminClient

from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from runtime.settings import Topics
from schemas.errors import DependencyError
from tests.support.brokers import cut_off


def run(broker: str, topics: Topics, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker,
        "HEARTSTREAM_TOPICS__PATIENTS": topics.patients,
        "HEARTSTREAM_TOPICS__SCORES": topics.scores,
        "HEARTSTREAM_TOPICS__DEAD_LETTERS": topics.dead_letters,
        "HEARTSTREAM_TOPICS__OUTCOMES": topics.outcomes,
        "HEARTSTREAM_TOPICS__SHADOW": topics.shadow,
    }
    return subprocess.run(
        [sys.executable, "-m", "heartstream", "topics", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_topics_are_created_once(broker: str, topics: Topics) -> None:
    """An existing one keeps its partitions; a second run only creates the additional ones."""
    create_topics(broker, [topics.patients], 2, {})
    done = [
        run(broker, topics, "--partitions", "3"),
        run(broker, topics, "--partitions", "5", f"{topics.scores}.replay"),
    ]
    waiting = f"heartstream: waiting for a broker at {broker}\n"  # a busy machine's
    assert [(each.returncode, each.stderr.removeprefix(waiting)) for each in done] == [(0, ""), (0, "")]
    found = AdminClient({"bootstrap.servers": broker, "log_level": 2}).list_topics(timeout=10).topics
    names = (
        topics.patients,
        topics.scores,
        topics.dead_letters,
        topics.outcomes,
        topics.shadow,
        f"{topics.scores}.replay",
    )
    assert [len(found[name].partitions) for name in names] == [2, 3, 3, 3, 3, 5]


def test_zero_partitions_are_refused(broker: str, topics: Topics) -> None:
    """It is a usage error."""
    assert run(broker, topics, "--partitions", "0").returncode != 0


def test_a_wait_for_a_broker_is_reported() -> None:
    """With the broker's address."""
    address = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": address}
    arguments = [sys.executable, "-m", "heartstream", "topics"]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == f"heartstream: waiting for a broker at {address}\n"
        waiting.kill()


def test_a_frozen_broker_is_asked_again(own_broker: str, topics: Topics) -> None:
    """The first request times out; the topic is created in the end."""
    broker = own_broker
    with ThreadPoolExecutor(1) as pool:
        with cut_off(broker):
            creating = pool.submit(create_topics, broker, [topics.patients], 2, {}, timeout=9)
            with pytest.raises(TimeoutError):
                creating.result(4)
        creating.result(60)
    assert topics.patients in AdminClient({"bootstrap.servers": broker, "log_level": 2}).list_topics(timeout=10).topics


def test_a_broker_that_never_answers_is_named() -> None:
    """If it accepts connections but never responds, the error has the broker, the topic and the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        told = f"cannot create topic patients: the broker at {address} did not create it within 1.5 s"
        with pytest.raises(DependencyError, match=told):
            create_topics(address, ["patients"], 2, {}, timeout=1.5)
