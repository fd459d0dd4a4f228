"""Dead letters that `heartstream dlq redrive` skips, and what it needs to send them, on a real broker."""

from __future__ import annotations

import os
from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from schemas.codec import decode_dead_letter, decode_score, encode_dead_letter
from schemas.errors import RejectionCode
from schemas.records import DeadLetter, Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    REDRIVE_ATTEMPTS_HEADER,
    TIMESTAMP_HEADER,
)
from scoring.scorer import Scorer
from tests.support.dlq_harness import DAY, HEADERS, DlqHarness, await_letters, now
from tests.support.outcomes import Scored, process
from tests.support.public_copies import copy_records, uci_records
from tests.support.stream import DEADLINE_SECONDS, Stream
from tests.support.workers import Workers
from worker.dead_letters import without_value
from worker.kafka.outgoing_record import OutgoingRecord

_OF_ANOTHER_CODING = (RejectionCode.FOREIGN_CODE, RejectionCode.FOREIGN_SOURCE)


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


def test_records_that_the_broker_refuses_are_skipped(group_stream: Stream, harness: DlqHarness) -> None:
    """An oversized record stays and is counted; small ones are sent, though their batch would be too large."""
    harness.letters([RejectionCode.MODEL_FAILURE] * 200)
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
    harness: DlqHarness, stream: Stream, workers: Workers, scorer: Scorer, model_dir: Path
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
        named = harness.run("redrive", "--coding", "kaggle-303", "--model", str(model_dir), "--yes")
        assert (named.returncode, named.stdout.splitlines()[0]) == (0, "redriven: 80 dead letters")
        stream.read_until(lambda: len([one for one in stream.read if one.letter is None]) == 80)
    scores = [decode_score(one.value or b"") for one in stream.read if one.letter is None]
    assert {score.patient_id: score.risk for score in scores} == expected
    sent_again = [one.value or b"" for one in harness.patients()[80:]]
    assert sorted(sent_again) == sorted(value[:-1] + b',"coding":"kaggle-303"}' for value in values)


def test_a_coding_applies_to_plain_records_only(harness: DlqHarness, model_dir: Path) -> None:
    """Other values stay, with the reason."""
    harness.letters([RejectionCode.FOREIGN_CODE] * 3)
    told = harness.run("redrive", "--coding", "statlog", "--model", str(model_dir), "--yes")
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, "redriven: 0 dead letters")
    assert "skipped 3 dead letters: not a plain JSON record, or naming its coding already" in told.stdout
    assert harness.patients() == []


def test_a_coding_that_the_model_lacks_is_refused(harness: DlqHarness, model_dir: Path) -> None:
    """Nothing is sent: a record that names a coding could not be given another one."""
    harness.letters([RejectionCode.FOREIGN_SOURCE] * 3)
    refused = harness.run("redrive", "--coding", "kagle", "--model", str(model_dir), "--yes")
    assert refused.returncode == 78
    assert "the coding must be one of uci, " in refused.stderr
    assert harness.patients() == []
