"""Laws of the demo's own Kafka client."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from heartstream.demo import run


class LeaderlessConsumer:
    """A consumer whose partition gets its leader after so many questions."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def get_watermark_offsets(self, _partition: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        return 0, 7


def test_a_partition_that_has_no_leader_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics that were just created are like that on a slow broker."""
    monkeypatch.setattr(run, "_TICK_SECONDS", 0.0)
    consumer = LeaderlessConsumer(refusals=3)
    assert run._end_of(cast("Consumer", consumer), TopicPartition("demo.risk-scores", 0)) == 7
    assert consumer.refusals == 0
