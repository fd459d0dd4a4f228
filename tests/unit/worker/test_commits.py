"""Offset commits of the consumer, with a fake client that answers when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from faust.types import TP

from tests.unit.worker.ledgers import OTHER as THERE
from tests.unit.worker.ledgers import TOPIC as HERE
from tests.unit.worker.ledgers import enter, granted
from worker.kafka import commits
from worker.kafka.commits import ConsumerCommits, TransactionCommits, longest_retry

REFUSED = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)


class Answer(NamedTuple):
    """A partition's result in a commit callback; only librdkafka can create one with an error."""

    topic: str
    partition: int
    offset: int
    error: KafkaError | None


class FakeConsumer:
    """Takes commits and leaves it to the test to answer them."""

    def __init__(self) -> None:
        self.asked: list[list[TopicPartition]] = []
        self.wait: Callable[[], None] = lambda: None
        """What happens while a commit is waited for."""
        self.calls: list[str] = []
        self.question: KafkaException | None = None

    def commit(self, offsets: list[TopicPartition], *, asynchronous: bool) -> None:
        self.asked.append(offsets)
        if not asynchronous:
            self.calls.append("commit")
            self.wait()

    def committed(self, _partitions: list[TopicPartition], timeout: float) -> None:
        assert timeout > 0
        self.calls.append("question")
        if self.question is not None:
            raise self.question


class Harness:
    """Commits of two partitions, checked every tenth of a second of a clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ledger, self.consumer = granted(HERE, THERE), FakeConsumer()
        self.commits = ConsumerCommits(self.consumer, self.ledger, 0.1)  # type: ignore[arg-type]

    def finish(self, tp: TP, offset: int) -> None:
        batch = enter(self.ledger, offset, 1, tp)
        assert self.ledger.start(batch)
        self.ledger.finish(batch)

    def run_for(self, seconds: float) -> list[bool]:
        """Advance the clock; return for each step whether commits were overdue."""
        said = []
        for _ in range(round(seconds / 0.1)):
            self.now += 0.1
            self.commits.do_due_work()
            said.append(self.commits.are_overdue())
        return said

    def answer(self, error: KafkaError | None = None) -> None:
        """Answer the oldest commit."""
        self.commits.on_result(error, self.consumer.asked.pop(0))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Harness:
    bench = Harness()
    monkeypatch.setattr(commits.time, "monotonic", lambda: bench.now)
    monkeypatch.setattr(commits.time, "sleep", lambda seconds: bench.consumer.calls.append(f"{seconds} s"))
    return bench


def test_a_commit_without_an_answer_is_overdue_after_two_seconds(bench: Harness) -> None:
    """It is no longer overdue once it is answered."""
    bench.finish(HERE, 7)
    early, late = bench.run_for(2.0), bench.run_for(0.4)
    bench.answer()
    assert (any(early), late[-1], bench.commits.are_overdue()) == (False, True, False)


def test_refused_commits_are_overdue_too_and_are_retried(bench: Harness) -> None:
    """A refusal during a rebalance is not an answer: the offsets are committed again until they are accepted."""
    bench.finish(HERE, 7)
    said = []
    for _ in range(25):
        said += bench.run_for(0.1)
        bench.answer(REFUSED)
    assert (any(said[:20]), said[-1]) == (False, True)
    bench.run_for(0.1)
    bench.answer()
    assert not bench.commits.are_overdue()


def test_commits_that_are_answered_late_are_not_overdue(bench: Harness) -> None:
    """A coordinator that needs a second for each commit is slow, not unreachable."""
    said = []
    for number in range(60):
        bench.finish(HERE, number)
        said += bench.run_for(0.1)
        if number >= 10:
            bench.answer()
    assert not any(said)


def test_a_refused_commit_of_a_revoked_partition_is_not_waited_for(bench: Harness) -> None:
    """The remaining partition is idle and must stay readable: its committed offset is committed again as a probe."""
    bench.ledger.assign([THERE], {THERE: 5})
    bench.finish(HERE, 7)
    bench.run_for(0.1)
    bench.answer(REFUSED)
    bench.ledger.remove([HERE])
    bench.run_for(0.2)
    (asked,) = bench.consumer.asked
    assert [(each.partition, each.offset) for each in asked] == [(THERE.partition, 5)]
    bench.answer()
    assert not any(bench.run_for(5.0))


def test_without_a_stored_offset_no_answer_is_waited_for(bench: Harness) -> None:
    """There is no offset to commit as a probe, and none that could be lost."""
    bench.finish(HERE, 7)
    bench.run_for(0.1)
    bench.answer(REFUSED)
    bench.ledger.remove([HERE])
    bench.commits.assume_failing_since(bench.now - 60)
    assert not any(bench.run_for(5.0))


def test_a_probe_commit_checks_that_a_silent_broker_accepts_commits(bench: Harness) -> None:
    """A worker that was idle when the network failed reads no backlog until a commit is answered."""
    bench.ledger.assign([HERE], {HERE: 5})
    assert not any(bench.run_for(5.0))
    bench.commits.assume_failing_since(bench.now - 2.0)
    said = bench.run_for(10.0)
    assert (said[0], said[-1], len(bench.consumer.asked)) == (False, True, 1)
    bench.answer()
    assert not any(bench.run_for(5.0))


def test_a_commit_that_fails_during_a_revocation_is_overdue_from_its_start(bench: Harness) -> None:
    """After it timed out, the remaining partitions are not read for another two seconds."""
    bench.finish(THERE, 9)
    bench.run_for(0.1)
    bench.answer()
    bench.finish(HERE, 7)
    assert not bench.commits.are_overdue()

    def fail_after(seconds: float) -> None:
        bench.now += seconds
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    bench.consumer.wait = lambda: fail_after(12)
    assert not bench.commits.commit_final({HERE})
    bench.ledger.remove([HERE])
    assert bench.commits.are_overdue()


def test_a_partly_refused_commit_stores_the_accepted_partitions(bench: Harness) -> None:
    """Only the refused partition's offset is committed again."""
    bench.finish(HERE, 7)
    bench.finish(THERE, 9)
    bench.run_for(0.1)
    (asked,) = bench.consumer.asked
    answers = [
        Answer(*TP(each.topic, each.partition), each.offset, REFUSED if each.partition == 0 else None) for each in asked
    ]
    bench.commits.on_result(None, answers)  # type: ignore[arg-type]
    assert bench.ledger.uncommitted([HERE, THERE]) == {HERE: 8}
    bench.consumer.asked.clear()
    said = bench.run_for(2.5)
    assert ([[tp.partition for tp in asked] for asked in bench.consumer.asked], said[-1]) == ([[0]], True)


def test_a_commit_waits_for_the_answer_to_the_one_before_it(bench: Harness) -> None:
    """A commit that the client retries could otherwise arrive after a later one and move the group back."""
    for number in (7, 8):
        bench.finish(HERE, number)
        bench.run_for(0.3)
    assert [[place.offset for place in asked] for asked in bench.consumer.asked] == [[8]]
    bench.answer()
    bench.run_for(0.1)
    assert [[place.offset for place in asked] for asked in bench.consumer.asked] == [[9]]


def test_the_commit_of_a_revocation_comes_after_one_in_flight(bench: Harness) -> None:
    """Whose answer cannot be heard then: a connection must be there, and a repetition's backoff be over."""
    bench.finish(HERE, 7)
    bench.run_for(0.1)
    bench.finish(HERE, 8)
    assert bench.commits.commit_final({HERE})
    assert bench.consumer.calls == ["question", "0.24 s", "commit"]


def test_without_one_in_flight_it_is_sent_at_once(bench: Harness) -> None:
    bench.finish(HERE, 7)
    assert bench.commits.commit_final({HERE})
    assert bench.consumer.calls == ["commit"]


def test_partitions_are_let_go_without_it_where_no_connection_is_there(bench: Harness) -> None:
    """It would fare no better than the one in flight, and might be overtaken by it."""
    bench.finish(HERE, 7)
    bench.run_for(0.1)
    bench.finish(HERE, 8)
    bench.consumer.question = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    assert not bench.commits.commit_final({HERE})
    assert bench.consumer.calls == ["question"]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 0.24),
        ({"retry.backoff.ms": "300"}, 0.72),
        ({"retry.backoff.ms": 900}, 1.0),
        ({"retry.backoff.max.ms": 150}, 0.15),
    ],
)
def test_a_repetition_waits_for_its_backoff(options: dict[str, object], seconds: float) -> None:
    """The second one for twice as long as the first, a fifth more at most, and never longer than the greatest."""
    assert longest_retry(options) == pytest.approx(seconds)


def test_a_broker_that_refuses_has_answered(bench: Harness) -> None:
    """Errors of the client itself are no answer: the client may have lost its broker for ever."""
    bench.finish(HERE, 7)
    bench.run_for(0.1)
    bench.answer(KafkaError(KafkaError._TIMED_OUT))
    bench.run_for(30.0)
    assert bench.commits.seconds_unanswered(0.0) > 29.0
    bench.answer(REFUSED)
    assert bench.commits.seconds_unanswered(1_000.0) == 0.0


def test_with_transactions_only_the_silence_of_queries_shows_that_a_client_is_cut_off() -> None:
    """The producer commits: no answer is missing while the consumer's queries are answered."""
    commits = TransactionCommits(FakeConsumer(), granted(HERE))  # type: ignore[arg-type]
    assert [commits.seconds_unanswered(silence) for silence in (0.0, 31.0)] == [0.0, 31.0]


def test_a_client_that_lost_its_partitions_waits_for_no_answer(bench: Harness) -> None:
    """Cut off from its broker it may never get an answer, and it must stay responsive to be replaced."""
    bench.finish(HERE, 7)
    assert bench.run_for(3.0)[-1]
    bench.ledger.remove([HERE, THERE])
    assert not bench.commits.are_overdue()
    bench.ledger.assign([HERE])
    assert not bench.commits.are_overdue()
