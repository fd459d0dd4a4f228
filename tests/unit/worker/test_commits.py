"""Laws of the consumer's own commits."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from tests.unit.worker.test_ledger import TOPIC, enter, granted
from worker.transport.commits import ConsumerCommits


class SlowConsumer:
    """Takes commits, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []

    def commit(self, offsets: list[Any], *, asynchronous: bool) -> None:
        assert asynchronous
        self.asked.append(offsets)

    def offsets(self) -> list[int]:
        return [position.offset for positions in self.asked for position in positions]


def test_a_commit_waits_for_the_answer_to_the_one_before_it() -> None:
    """A commit that the client repeats would set the group back if it arrived behind a later one."""
    ledger, consumer = granted(), SlowConsumer()
    commits = ConsumerCommits(consumer, ledger, interval=0.0)  # type: ignore[arg-type]
    for first in (0, 10):
        batch = enter(ledger, first)
        assert ledger.start(batch)
        ledger.finish(batch)
        commits.turn()
    assert consumer.offsets() == [10]
    commits.heard(None, consumer.asked[0])
    commits.turn()
    assert consumer.offsets() == [10, 20]


def test_a_commit_that_failed_is_done_again() -> None:
    """What the broker refused is due at the next turn."""
    ledger, consumer = granted(), SlowConsumer()
    commits = ConsumerCommits(consumer, ledger, interval=0.0)  # type: ignore[arg-type]
    batch = enter(ledger, 0)
    assert ledger.start(batch)
    ledger.finish(batch)
    commits.turn()
    commits.heard(KafkaError(KafkaError._TIMED_OUT), consumer.asked[0])
    commits.turn()
    assert consumer.offsets() == [10, 10]
    assert ledger.unstored([TOPIC]) == {TOPIC: 10}
