"""The demo's own Kafka client."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from heartstream.demo import run


class LeaderlessConsumer:
    """A consumer whose partition gets a leader after some queries."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def get_watermark_offsets(self, _partition: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return 0, 7


def test_a_partition_without_a_leader_is_queried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """New topics have no leader for a moment on a slow broker."""
    monkeypatch.setattr(run, "_TICK_SECONDS", 0.0)
    consumer = LeaderlessConsumer(refusals=3)
    assert run._end_of(cast("Consumer", consumer), TopicPartition("demo.risk-scores", 0)) == 7
    assert consumer.refusals == 0
