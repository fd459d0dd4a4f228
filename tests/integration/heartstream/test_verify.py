"""Verify and replay on real workers' scores: scores can be verified, and changes are detected."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from heartstream.cli.adapt import adapt
from runtime.kafka.topics import create_topics
from schemas.codec import decode_score
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.models import another_version, with_exchanged_labels
from tests.support.outcomes import Scored, process
from tests.support.stream import Stream
from tests.support.verify_harness import VerifyHarness, read_scores
from tests.support.workers import Workers
from training.data.frames import read_snapshot


@pytest.fixture
def harness(stream: Stream, workers: Workers) -> VerifyHarness:
    return VerifyHarness(stream, workers)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("score", [{}, {"REASONS": "0", "INTERVAL": "false"}, {"INPUT_DIGEST": "true"}], ids=str)
def test_scores_of_a_stream_are_verified(harness: VerifyHarness, guarantee: str, score: dict[str, str]) -> None:
    """Whatever their details, all scores equal what the model makes of their records, byte for byte."""
    named = {f"HEARTSTREAM_SCORE__{name}": value for name, value in score.items()}
    harness.scored(920, HEARTSTREAM_WORKER__PROCESSING_GUARANTEE=guarantee, **named)
    assert harness.verify() == (0, [], {"verified": 920})
    assert harness.verify("--limit", "10") == (0, [], {"verified": 10})
    assert harness.verify("--until", "1d") == (0, [], {"verified": 0})
    assert harness.verify("--since", "1d") == (0, [], {"verified": 920})


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_scores_of_a_recalibrated_model_are_verified(
    harness: VerifyHarness, guarantee: str, model_dir: Path, tmp_path: Path
) -> None:
    """They name the directory that `adapt` wrote, which verifies each of them."""
    models = tmp_path / "models"
    models.mkdir()
    read_snapshot(["hungarian"]).to_csv(tmp_path / "hungarian.csv", index=False)
    adapt(model_dir, output=models / "recalibrated", data=tmp_path / "hungarian.csv", up_to="intercept")
    made, base = Scorer.from_directory(models / "recalibrated"), load(model_dir).model
    settings = {"HEARTSTREAM_MODEL__PATH": str(models / "recalibrated")}
    harness.scored(920, HEARTSTREAM_WORKER__PROCESSING_GUARANTEE=guarantee, **settings)
    scores = [decode_score(result.value or b"") for result in harness.stream.read if result.letter is None]
    assert {score.model for score in scores} == {made.model} != {base}
    values = {sent.source: sent.value for sent in harness.stream.sent}
    again = process([values[score.source] for score in scores], [score.source for score in scores], made)
    assert [each.value for each in again if isinstance(each, Scored)] == [
        result.value for result in harness.stream.read if result.letter is None
    ]
    assert harness.verify()[2] == {"verified": 0, "model absent": 920}
    assert harness.verify("--models", str(models)) == (0, [], {"verified": 920})


def forged(harness: VerifyHarness, changes: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Produce changed scores of the first record; return them."""
    original = next(result for result in harness.stream.read if result.letter is None)
    assert original.value is not None
    written = [original.value.replace(before, after) for before, after in changes]
    producer = Producer({"bootstrap.servers": harness.stream.address})
    for value in written:
        producer.produce(harness.stream.topics.scores, value, original.key, partition=original.partition)
    assert producer.flush(60) == 0
    return written


def test_changed_scores_are_detected(harness: VerifyHarness, model_dir: Path) -> None:
    """Label, input digest, model digest, invalid score: each finding is named, without an id."""
    harness.scored(50, HEARTSTREAM_SCORE__INPUT_DIGEST="true")
    digest = load(model_dir).model.digest.encode()
    first = next(result for result in harness.stream.read if result.letter is None)
    record = json.loads(first.value or b"")["input_digest"].encode()
    forged(
        harness, [(b'"label":0', b'"label":1'), (b'"label":1', b'"label":0'), (record, b"0" * 16), (digest, b"f" * 16)]
    )
    forged(harness, [(first.value or b"", b"no score")])
    code, findings, counts = harness.verify()
    unchanged = 1  # one of the two labels was what it was already
    expected = {"verified": 50 + unchanged, "different": 1, "input changed": 1, "model absent": 1, "unreadable": 1}
    assert (code, counts) == (65, expected)
    assert [each["fields"] for each in findings if each["verdict"] == "different"] == [["label"]]
    assert all("patient_id" not in each for each in findings)


def test_scores_of_deleted_records_are_neither_verified_nor_wrong(harness: VerifyHarness) -> None:
    """After the patients topic's retention this is reported, and is not an error."""
    harness.scored(60)
    end = harness.stream.end_of(0)
    harness.stream.delete_before({0: end})
    gone = sum(result.source.partition == 0 for result in harness.stream.read if result.letter is None)
    code, _, counts = harness.verify()
    assert gone > 0
    assert (code, counts) == (0, {"verified": 60 - gone, "input gone": gone})


def test_the_model_is_found_by_the_scores_digest(harness: VerifyHarness, tmp_path: Path, model_dir: Path) -> None:
    """Among several models; without it the verdict is "model absent"."""
    harness.scored(30)
    models = tmp_path / "models"
    models.mkdir()
    another_version(model_dir, models / "other", "2")
    assert harness.verify("--models", str(models))[2] == {"verified": 0, "model absent": 30}
    (models / "current").symlink_to(model_dir)
    assert harness.verify("--models", str(models)) == (0, [], {"verified": 30})
    assert harness.run("verify", "--models", str(tmp_path / "none")).returncode == 65


def test_replay_scores_the_past_into_a_separate_topic(harness: VerifyHarness, tmp_path: Path, model_dir: Path) -> None:
    """Each record has its score by the other model, with its key; the stream's topics and group do not change."""
    harness.scored(300)
    target = f"{harness.stream.topics.scores}-replay"
    create_topics(harness.stream.address, [target], 4, {})
    exchanged = with_exchanged_labels(model_dir, tmp_path / "exchanged")
    before = len(harness.stream.read)
    done = harness.run("replay", "--to-topic", target, "--model", str(exchanged))
    assert (done.returncode, done.stderr) == (0, "")
    counts = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert counts == [301, 300, 1]
    scorer = Scorer.from_directory(exchanged)
    values = {sent.source: (sent.key, process([sent.value], [sent.source], scorer)[0]) for sent in harness.stream.sent}
    expected = {source: (key, each.value) for source, (key, each) in values.items() if isinstance(each, Scored)}
    assert read_scores(harness.stream.address, target) == expected
    harness.stream.read_to_end()
    assert len(harness.stream.read) == before


def test_replay_does_not_write_to_the_stream(harness: VerifyHarness) -> None:
    """Neither to its topics nor to a missing one; a dry run sends nothing."""
    harness.scored(20)
    for topic in (harness.stream.topics.patients, harness.stream.topics.scores, harness.stream.topics.dead_letters):
        assert harness.run("replay", "--to-topic", topic).returncode == 78
    done = harness.run("replay", "--to-topic", "nowhere")
    assert (done.returncode, "there is no topic nowhere" in done.stderr) == (69, True)
    assert "21  records at most" in harness.run("replay", "--to-topic", "nowhere", "--dry-run").stdout
