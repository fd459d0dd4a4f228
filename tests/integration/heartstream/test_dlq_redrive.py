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
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from heartstream.demo.patients import FLAWS, real_patients
from heartstream.operations.dlq.backlog import GROUP
from schemas.codec import decode_dead_letter, decode_score, encode_dead_letter
from schemas.errors import RejectionCode
from schemas.records import DeadLetter, Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    FIRST_FAILURE_HEADER,
    REASON_HEADERS,
    REDRIVE_ATTEMPTS_HEADER,
    TIMESTAMP_HEADER,
)
from scoring.scorer import Scorer
from tests.support.dlq_harness import DlqHarness, Written, await_letters, now
from tests.support.outcomes import Scored, process
from tests.support.public_copies import copy_records, uci_records
from tests.support.stream import DEADLINE_SECONDS, Stream
from tests.support.workers import Workers
from worker.dead_letters import without_value
from worker.kafka.outgoing_record import OutgoingRecord

DAY = 86_400_000
HEADERS = (("trace", b"1"), ("trace", b"2"), ("empty", b""), ("null", None))
MODEL_FAILURE, NOT_JSON = RejectionCode.MODEL_FAILURE, RejectionCode.NOT_JSON
_OF_ANOTHER_CODING = (RejectionCode.FOREIGN_CODE, RejectionCode.FOREIGN_SOURCE)


def headers_added(record: Written) -> tuple[bytes | None, bytes | None]:
    added = dict(record.headers)
    return added.get(REDRIVE_ATTEMPTS_HEADER), added.get(FIRST_FAILURE_HEADER)


def test_a_record_that_keeps_failing_is_redriven_three_times(harness: DlqHarness, workers: Workers) -> None:
    """With unchanged key, value, headers and timestamp; then it stays, and the summary says so."""
    value = FLAWS["a code of another coding"](dict(real_patients()[0]))
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


def test_an_omitted_value_is_fetched_from_its_source(harness: DlqHarness) -> None:
    """Oversized letters are redriven in full; if the original is gone or is another record the letter stays."""
    large, small = b"x" * 3_000_000, b"small"
    kept = harness.record(b"same", large, HEADERS, sent := now() - DAY)
    harness.send(without_value(harness.letter_of(kept)))
    gone = without_value(harness.letter_of(kept))
    for partition, offset in ((kept.partition, 999), (99, 0)):
        place = Source(kept.topic, partition, offset)
        harness.send(_moved(gone, harness, place))
    harness.send(_moved(gone, harness, harness.record(b"same", small)))
    run = harness.run("redrive", "--yes")
    assert run.stdout.splitlines() == [
        "redriven: 1 dead letter",
        "          1  model_failure",
        "skipped 3 dead letters: without its value, key or headers, which the source topic no longer holds",
    ]
    back = [one for one in harness.patients() if REDRIVE_ATTEMPTS_HEADER in dict(one.headers)]
    assert [(one.key, one.headers[:4], one.timestamp) for one in back] == [(b"same", HEADERS, sent)]
    assert back[0].value == large


def _moved(letter: OutgoingRecord, harness: DlqHarness, source: Source) -> OutgoingRecord:
    """Return the letter as if its original were at `source`."""
    reason = decode_dead_letter(dict(letter.headers)[DEAD_LETTER_HEADER] or b"")
    moved = encode_dead_letter(DeadLetter(reason.errors, source))
    headers = [(name, moved if name == DEAD_LETTER_HEADER else value) for name, value in letter.headers]
    return OutgoingRecord(harness.topics.dead_letters, letter.key, None, headers, letter.timestamp)


def test_records_beyond_the_retention_are_skipped(harness: DlqHarness) -> None:
    """A record older than the patients topic's retention stays, unless --present-time is given."""
    harness.record(b"young", b"1")
    for age in (1, 1000):
        harness.send(_aged(harness, f"{age}", now() - age * DAY))
    first, second = harness.run("redrive", "--yes"), harness.run("redrive", "--yes", "--present-time")
    assert [run.stdout.splitlines()[0] for run in (first, second)] == ["redriven: 1 dead letter"] * 2
    assert "too old for the retention of the topic" in first.stdout
    times = {one.key: one.timestamp for one in harness.patients()}
    assert (times[b"1"] < now() - DAY // 2, times[b"1000"] > now() - DAY) == (True, True)


def _aged(harness: DlqHarness, key: str, timestamp: int) -> OutgoingRecord:
    """Return a letter of an old record, in a topic with log append time, as is recommended."""
    letter = harness.letter_of(harness.record(b"other", b"0"))
    headers = [(name, str(timestamp).encode() if name == TIMESTAMP_HEADER else one) for name, one in letter.headers]
    return OutgoingRecord(letter.topic, key.encode(), letter.value, headers, now())


def test_foreign_records_are_skipped(harness: DlqHarness) -> None:
    """A record without our header and a letter of another topic are counted, not redriven."""
    harness.send(OutgoingRecord(harness.topics.dead_letters, b"k", b"not a letter", []))
    letter = harness.letter_of(harness.record(b"k", b"v"))
    harness.send(_moved(letter, harness, Source("elsewhere", 0, 0)))
    run = harness.run("redrive", "--yes")
    assert run.stdout.splitlines() == [
        "redriven: 0 dead letters",
        "skipped 1 dead letter: not written by heartstream, or with unreadable headers",
        "skipped 1 dead letter: from another topic than the patients topic",
    ]
    assert len(harness.patients()) == 1


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


def test_records_that_the_broker_rejects_are_skipped(group_stream: Stream, harness: DlqHarness) -> None:
    """An oversized record stays and is counted; small ones are sent, though their batch would be too large."""
    harness.letters([MODEL_FAILURE] * 200)
    harness.send(harness.letter_of(harness.record(b"large", os.urandom(50_000))))
    limit = ConfigEntry("max.message.bytes", "5000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, harness.topics.patients, incremental_configs=[limit])
    admin = AdminClient({"bootstrap.servers": group_stream.address})
    (done,) = admin.incremental_alter_configs([resource]).values()
    done.result(60)
    run = harness.run("redrive", "--yes")
    assert run.stdout.splitlines() == [
        "redriven: 200 dead letters",
        "        200  model_failure",
        "skipped 1 dead letter: refused by the broker: too large, or with an invalid timestamp",
    ]
    assert harness.keys_sent_back() == sorted(["large", *(f"k-{number}" for number in range(200))])


def test_a_source_in_another_coding_is_scored_after_a_redrive_with_it(
    harness: DlqHarness, stream: Stream, workers: Workers, scorer: Scorer
) -> None:
    """No record of it is scored at first; redriven with its coding each has the risk of UCI's record."""
    values = copy_records("kaggle-303")[:80]
    expected = {
        score.patient_id: score.risk
        for outcome in process(uci_records("kaggle-303")[:80], [None] * 80, scorer)
        if isinstance(outcome, Scored)
        for score in [decode_score(outcome.value)]
    }
    for value in values:
        harness.producer.produce(harness.topics.patients, value, b"clinic", on_delivery=lambda *_: None)
    assert harness.producer.flush(DEADLINE_SECONDS) == 0
    with workers.start(harness.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1"):
        await_letters(harness, 80)
        assert {code for letter in harness.dead() for code in letter.codes} == {*_OF_ANOTHER_CODING}
        unnamed = harness.run("redrive", "--code", "foreign_source", "--yes").stdout
        assert "redriven: 0 dead letters\nskipped" in unnamed
        assert "from a source in another coding: give --coding" in unnamed
        named = harness.run("redrive", "--coding", "kaggle-303", "--yes")
        assert (named.returncode, named.stdout.splitlines()[0]) == (0, "redriven: 80 dead letters")
        stream.read_until(lambda: len([one for one in stream.read if one.letter is None]) == 80)
    scores = [decode_score(one.value or b"") for one in stream.read if one.letter is None]
    assert {score.patient_id: score.risk for score in scores} == expected
    sent_again = [one.value or b"" for one in harness.patients()[80:]]
    assert sorted(sent_again) == sorted(value[:-1] + b',"coding":"kaggle-303"}' for value in values)


def test_a_coding_applies_to_plain_records_only(harness: DlqHarness) -> None:
    """Other values stay, with the reason."""
    harness.letters([RejectionCode.FOREIGN_CODE] * 3)
    told = harness.run("redrive", "--coding", "statlog", "--yes")
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, "redriven: 0 dead letters")
    assert "skipped 3 dead letters: not a plain JSON record, or naming its coding already" in told.stdout
    assert harness.patients() == []
