"""Where a client starts to read assigned partitions, with a fake client that answers as the test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.unit.worker.ledgers import TOPIC
from worker.kafka import consumer_client
from worker.kafka.consumer_client import ConsumerClient, StopSignal
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.ledger import Ledger
from worker.kafka.starting_positions import starting_positions

ASSIGNED = [TopicPartition(*TOPIC)]
TIMED_OUT = KafkaException(KafkaError(KafkaError._TIMED_OUT))


class FakeConsumer:
    """A client whose committed offsets cannot be read."""

    def __init__(self, during: Callable[[], None], attempts: int) -> None:
        self.timeouts: list[float] = []
        self.assigned: list[list[TopicPartition]] = []
        self._during, self._attempts = during, attempts

    def committed(self, _partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.timeouts.append(timeout)
        assert len(self.timeouts) <= self._attempts, "asked once more"
        if len(self.timeouts) == self._attempts:
            self._during()
        raise TIMED_OUT

    def incremental_assign(self, positions: list[TopicPartition]) -> None:
        self.assigned.append(positions)


def test_a_stop_ends_the_search_for_committed_offsets() -> None:
    """Although the broker does not answer and a minute is not over."""
    stopping = threading.Event()
    consumer: Any = FakeConsumer(during=stopping.set, attempts=1)
    assert starting_positions(consumer, ASSIGNED, SimpleNamespace(), Ledger(), stopping) == []  # type: ignore[arg-type]


def test_a_stop_waits_for_no_call_longer_than_the_search_has_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call cannot be interrupted, so the first ones are short; a slow broker gets longer ones."""
    stopping = threading.Event()
    monkeypatch.setattr("worker.kafka.starting_positions._RETRY_SECONDS", 0.0)
    consumer: Any = FakeConsumer(during=stopping.set, attempts=6)
    starting_positions(consumer, ASSIGNED, SimpleNamespace(), Ledger(), stopping)  # type: ignore[arg-type]
    assert consumer.timeouts == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_partitions_assigned_during_a_stop_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told so, as it would otherwise assign them by itself."""
    stop, owned = StopSignal(0.0), []
    consumer = FakeConsumer(during=stop.requested.set, attempts=1)
    monkeypatch.setattr(consumer_client, "Consumer", lambda *_arguments, **_options: consumer)
    options = ConsumerOptions({}, {}, 100, 0.25, drain_timeout=5, revoke_timeout=5, stall_limit=60)
    ledger, topic = Ledger(), SimpleNamespace(name=TOPIC.topic)
    client = ConsumerClient(options, topic, ledger, stop, owned.append)  # type: ignore[arg-type]
    client._on_assign(consumer, ASSIGNED)  # type: ignore[arg-type]
    assert (consumer.assigned, ledger.owned(), owned) == ([[]], set(), [set()])
