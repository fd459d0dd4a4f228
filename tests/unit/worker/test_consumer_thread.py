"""The consumer thread on a fake client whose every call the test sees."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from tests.unit.worker.ledgers import TOPIC as HERE
from worker.kafka import consumer_client as module
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.consumer_thread import ConsumerThread
from worker.kafka.ledger import Ledger


class FakeConsumer:
    """Owns one partition. A commit is answered by the poll after it."""

    def __init__(self, config: dict[str, Any], **_options: object) -> None:
        self.calls: list[str] = []
        self._on_commit: Callable[..., None] = config["on_commit"]
        self._asked: list[TopicPartition] = []

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*HERE)]

    def poll(self, _seconds: float) -> None:
        self.calls.append("poll")
        if self._asked:
            asked, self._asked = self._asked, []
            self._on_commit(None, asked)

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> None:
        assert asynchronous
        self.calls.append("commit")
        self._asked = offsets

    def pause(self, _partitions: list[TopicPartition]) -> None:
        self.calls.append("pause")

    def resume(self, _partitions: list[TopicPartition]) -> None:
        self.calls.append("resume")

    def get_watermark_offsets(self, *_arguments: object, **_options: object) -> tuple[int, int]:
        return 0, 5

    def consume(self, _count: int, _seconds: float) -> list[object]:
        raise AssertionError("records are read")


@pytest.fixture
def consumer_thread(monkeypatch: pytest.MonkeyPatch) -> ConsumerThread:
    monkeypatch.setattr(module, "Consumer", FakeConsumer)
    options = ConsumerOptions(
        {"group.id": "group"},
        {},
        batch_records=100,
        commit_interval=0.25,
        drain_timeout=5,
        revoke_timeout=5,
        stall_limit=60,
    )
    ledger, queue = Ledger(), SimpleNamespace(is_full=lambda: False)
    ledger.assign([HERE], {HERE: 5})
    return ConsumerThread(options, HERE.topic, ledger, queue, on_assignment=lambda _: None, on_failure=lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("silence", [0.5, 8.0])
def test_after_a_callback_that_outlasted_a_fault_commits_come_back_before_records(
    consumer_thread: ConsumerThread, silence: float
) -> None:
    """The broker answers again, and that is no news of the group: it may have gone on without this member."""
    consumer_thread.client.lag.answered_at = time.monotonic() - silence
    consumer_thread._iterate()
    calls = list(dict.fromkeys(consumer_thread.client.consumer.calls))  # type: ignore[attr-defined]
    assert calls == (["poll", "pause", "commit", "resume"] if silence > 2.0 else ["poll"])


def test_a_worker_that_stops_waits_for_the_commit_in_flight(consumer_thread: ConsumerThread) -> None:
    """Its answer comes in a poll. If its connection broke, the client repeats it, behind what is sent meanwhile."""
    consumer_thread.client.commits.assume_failing_since(time.monotonic())
    consumer_thread.client.commits.do_due_work()
    consumer_thread._commit_finally()
    assert consumer_thread.client.consumer.calls == ["commit", "poll"]  # type: ignore[attr-defined]
