"""`heartstream dlq redrive`, run as users run it, on a real broker."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import time
from collections import Counter

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from heartstream.demo.patients import FLAWS, FOREIGN_CODE, real_patients
from heartstream.operations.dlq.backlog import GROUP
from schemas.errors import RejectionCode
from schemas.topics import (
    FIRST_FAILURE_HEADER,
    REASON_HEADERS,
    REDRIVE_ATTEMPTS_HEADER,
)
from tests.support.dlq_harness import DAY, HEADERS, DlqHarness, Written, await_letters, now
from tests.support.stream import DEADLINE_SECONDS, Stream
from tests.support.workers import Workers

MODEL_FAILURE, NOT_JSON = RejectionCode.MODEL_FAILURE, RejectionCode.NOT_JSON


def headers_added(record: Written) -> tuple[bytes | None, bytes | None]:
    added = dict(record.headers)
    return added.get(REDRIVE_ATTEMPTS_HEADER), added.get(FIRST_FAILURE_HEADER)


def test_a_record_that_keeps_failing_is_redriven_three_times(harness: DlqHarness, workers: Workers) -> None:
    """With unchanged key, value, headers and timestamp; then it stays, and the summary says so."""
    value = FLAWS[FOREIGN_CODE](dict(real_patients()[0]))
    source = harness.record(b"key-1", value, HEADERS, sent := now() - DAY)
    with workers.start(harness.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1"):
        told = []
        for letters in (1, 2, 3, 4):
            await_letters(harness, letters)
            told.append(harness.run("redrive", "--yes").stdout)
    assert [text.splitlines()[0] for text in told] == ["redriven: 1 dead letter"] * 3 + ["redriven: 0 dead letters"]
    assert told[3].splitlines()[1] == "skipped 1 dead letter: failed again after the maximum number of attempts"
    first, *again = harness.patients()
    assert [(one.key, one.value, one.headers[:4], one.timestamp) for one in again] == [
        (b"key-1", value, HEADERS, sent)
    ] * 3
    place = f'{{"topic":"{source.topic}","partition":{source.partition},"offset":{source.offset}}}'.encode()
    assert [headers_added(one) for one in again] == [(b"1", place), (b"2", place), (b"3", place)]
    assert [[name for name, _ in one.headers if name in REASON_HEADERS] for one in (first, *again)] == [[]] * 4
    found = harness.dead()
    assert [(one.key, one.value, one.headers, one.timestamp) for one in found] == [(b"key-1", value, HEADERS, sent)] * 4
    assert [one.attempts for one in found] == [0, 1, 2, 3]
    assert [one.first_failure for one in found] == [None, source, source, source]


def test_a_fixed_worker_scores_redriven_records(harness: DlqHarness, stream: Stream, workers: Workers) -> None:
    """A valid record that a faulty deployment dead-lettered gets its score, in its key's partition."""
    harness.letters([MODEL_FAILURE])
    good = json.dumps(real_patients()[0]).encode()
    harness.send(harness.letter_of(source := harness.record(b"good", good)))
    assert harness.run("redrive", "--key", "good", "--yes").returncode == 0
    with workers.start(harness.address):
        places = [place for place, one in harness.read(harness.topics.patients) if one.key == b"good"]
        stream.read_until(lambda: all(place in stream.results for place in places))
    (score,) = stream.results[places[1]]
    assert [place.partition for place in places] == [source.partition] * 2
    assert (score.key, score.letter) == (b"good", None)


def test_letters_are_redriven_once(harness: DlqHarness) -> None:
    """With and without filters, in any order: each letter is redriven once, and none is skipped."""
    harness.letters([MODEL_FAILURE, NOT_JSON] * 30)
    runs = [
        harness.run("redrive", "--code", "model_failure", "--limit", "7", "--yes"),
        harness.run("redrive", "--key", "k-3", "--yes"),
        harness.run("redrive", "--code", "model_failure", "--yes"),
        harness.run("redrive", "--yes"),
        harness.run("redrive", "--yes"),
    ]
    assert [run.stdout.splitlines()[0] for run in runs] == [
        "redriven: 7 dead letters",
        "redriven: 1 dead letter",
        "redriven: 23 dead letters",
        "redriven: 29 dead letters",
        "redriven: 0 dead letters",
    ]
    assert harness.keys_sent_back() == sorted(f"k-{number}" for number in range(60))


def test_it_stops_before_it_sends_what_it_could_not_record(harness: DlqHarness) -> None:
    """A random half of a large partition: exit code 1 with the reason, and still none is sent twice."""
    rng = random.Random(42)  # noqa: S311  # for variety, not for secrets
    harness.letters((rng.choice([MODEL_FAILURE, NOT_JSON]) for _ in range(30_000)), partition=1)
    scattered = harness.run("redrive", "--code", "not_json", "--yes")
    sent = len(harness.patients())
    rest = harness.run("redrive", "--yes")
    assert (scattered.returncode, "skips too many letters" in scattered.stderr, rest.returncode) == (1, True, 0)
    assert scattered.stdout.splitlines()[0] == f"redriven: {sent:,} dead letters"
    assert harness.keys_sent_back() == sorted(f"k-{number}" for number in range(30_000))


def test_a_dry_run_sends_nothing(harness: DlqHarness) -> None:
    """It prints what would be sent, and a later redrive sends exactly that."""
    harness.letters([MODEL_FAILURE, MODEL_FAILURE, NOT_JSON])
    dry = harness.run("redrive", "--dry-run")
    between = harness.patients()
    wet = harness.run("redrive", "--yes")
    assert (dry.returncode, dry.stderr, between) == (0, "", [])
    assert dry.stdout.replace("to redrive:", "redriven:") == wet.stdout
    assert len(harness.patients()) == 3


@pytest.mark.parametrize(("answer", "code", "sent"), [("y", 0, 2), ("n", 1, 0), ("", 1, 0)])
def test_on_a_terminal_it_asks(harness: DlqHarness, answer: str, code: int, sent: int) -> None:
    """Only "yes" sends."""
    harness.letters([MODEL_FAILURE] * 2)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        harness.command("redrive"), env=harness.environment, stdin=theirs, stdout=subprocess.PIPE
    )
    os.write(ours, f"{answer}\n".encode())
    output, _ = process.communicate(timeout=DEADLINE_SECONDS)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, len(harness.patients())) == (code, sent)
    assert output.startswith(b"to redrive: 2 dead letters\n")


def test_without_a_terminal_it_needs_the_yes_option(harness: DlqHarness) -> None:
    """Exit code 2, nothing is sent, and the error names the option."""
    harness.letters([MODEL_FAILURE])
    run = harness.run("redrive")
    assert (run.returncode, harness.patients(), "--yes" in run.stderr) == (2, [], True)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_redrive_loses_nothing(harness: DlqHarness, signum: signal.Signals, code: int) -> None:
    """The next run continues: nothing twice after Ctrl-C or SIGTERM, at most one chunk after SIGKILL."""
    harness.letters([MODEL_FAILURE] * 20_000)
    process = subprocess.Popen(harness.command("redrive", "--yes"), env=harness.environment, stdout=subprocess.PIPE)
    await_records(harness, 1)
    process.send_signal(signum)
    process.communicate(timeout=DEADLINE_SECONDS)
    sent = len(harness.patients())
    assert harness.run("redrive", "--yes").returncode == 0
    counts = Counter(harness.keys_sent_back())
    repeated = sum(counts.values()) - len(counts)
    assert (process.returncode, 0 < sent < 20_000, len(counts)) == (code, True, 20_000)
    assert repeated <= (500 if signum is signal.SIGKILL else 0)


def await_records(harness: DlqHarness, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(harness.patients()) < count:
        assert time.monotonic() < deadline


def test_transactions_are_respected(group_stream: Stream, harness: DlqHarness) -> None:
    """Letters of aborted transactions are not redriven, and markers do not fragment the completed offsets."""
    producer = Producer(
        {"bootstrap.servers": group_stream.address, "transactional.id": harness.topics.patients, "log_level": 2}
    )
    producer.init_transactions(30)
    letter = harness.letter_of(harness.record(b"k", b"v"))
    for number in range(20):
        producer.begin_transaction()
        producer.produce(letter.topic, letter.value, str(number).encode(), headers=list(letter.headers), partition=1)
        if number % 2:
            producer.flush()
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    run = harness.run("redrive", "--yes")
    (place,) = committed(harness, [TopicPartition(letter.topic, 1)])
    assert (run.stdout.splitlines()[0], harness.run("redrive", "--yes").stdout) == (
        "redriven: 10 dead letters",
        "redriven: 0 dead letters\n",
    )
    assert (place.offset >= 37, place.metadata or "") == (True, "")


def committed(harness: DlqHarness, places: list[TopicPartition]) -> list[TopicPartition]:
    """Return the offsets and metadata that the group has committed."""
    admin = AdminClient({"bootstrap.servers": harness.address})
    request = [ConsumerGroupTopicPartitions(GROUP, places)]
    (answer,) = admin.list_consumer_group_offsets(request).values()
    found: list[TopicPartition] = answer.result(60).topic_partitions
    return found
