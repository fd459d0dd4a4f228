"""`heartstream outcomes` on a real broker: real patients, scored by a real worker, and their known outcomes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from heartstream.demo.patients import real_patients
from heartstream.monitoring.outcomes.calibration import calibration_metrics
from runtime import metrics
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from schemas.codec import decode_score
from scoring.scorer import Scorer
from tests.support.dlq_harness import DlqHarness, groups_of, now
from tests.support.stream import PARTITIONS, Stream
from tests.support.workers import Workers
from training.data.frames import features, read_snapshot, target
from training.evaluation.recalibration import Advice, propose_shift, shift_risks
from worker.kafka.outgoing_record import OutgoingRecord

DEADLINE_SECONDS = 90.0
MODEL = {"HEARTSTREAM_MODEL__NAME": "logistic_regression"}


def patients(site: str) -> list[tuple[dict[str, Any], int]]:
    """Return a hospital's patients as records, each with its outcome."""
    found = target(read_snapshot()).tolist()
    return [
        (record, outcome)
        for record, outcome in zip(real_patients(), found, strict=True)
        if str(record["patient_id"]).startswith(f"{site}-")
    ]


def scored(stream: Stream, workers: Workers, site: str) -> list[tuple[dict[str, Any], int]]:
    """Let a worker score all of a hospital's patients; create the outcomes topic."""
    create_topics(stream.address, [stream.topics.outcomes], PARTITIONS, {})
    everybody = patients(site)
    with workers.start(stream.address, **MODEL) as worker:
        worker.await_ready()
        for record, _ in everybody:
            stream.send(json.dumps(record).encode(), str(record["patient_id"]).encode())
        stream.read_all()
    return everybody


def say(harness: DlqHarness, known: Sequence[dict[str, Any]]) -> None:
    """Produce outcomes."""
    for each in known:
        value = json.dumps(each).encode()
        harness.send(OutgoingRecord(harness.topics.outcomes, each["patient_id"].encode(), value, (), now()))


def run(harness: DlqHarness, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "heartstream", "outcomes", *arguments],
        env=harness.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def adapted(harness: DlqHarness, model: Path, output: Path) -> subprocess.CompletedProcess[str]:
    options = ("--outcomes", "--name", MODEL["HEARTSTREAM_MODEL__NAME"], "--up-to", "intercept", "-o", str(output))
    return subprocess.run(
        [sys.executable, "-m", "heartstream", "adapt", str(model), *options],
        env=harness.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def asked(harness: DlqHarness, *arguments: str) -> dict[str, Any]:
    done = run(harness, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("site", "advice"), [("va", Advice.RECALIBRATE), ("cleveland", Advice.LEAVE)])
def test_metrics_equal_those_computed_directly(
    stream: Stream, workers: Workers, harness: DlqHarness, site: str, advice: Advice, tmp_path: Path
) -> None:
    """Long Beach needs recalibration and gets it, Cleveland does not."""
    everybody = scored(stream, workers, site)
    before = [groups_of(stream.address, topic) for topic in (stream.topics.scores, stream.topics.outcomes)]
    say(harness, [{"patient_id": str(record["patient_id"]), "outcome": found} for record, found in everybody])
    told = asked(harness, "--window", "100")
    frame = read_snapshot([site])
    scorer = Scorer.from_directory(workers.model_dir, MODEL["HEARTSTREAM_MODEL__NAME"])
    labels, risks = target(frame), scorer.risks(features(frame))
    (of_model,) = told["models"]
    assert of_model["model"]["digest"] == scorer.model.digest
    direct, proposed = calibration_metrics(labels, risks), propose_shift(labels, risks)
    assert of_model["all"]["outcomes"] == len(everybody)
    assert of_model["last"]["outcomes"] == 100
    for name in ("events", "mean_risk", "brier", "constant_brier", "roc_auc", "slope"):
        assert of_model["all"][name] == pytest.approx(getattr(direct, name)), name
    assert direct.observed_expected is not None
    assert of_model["all"]["observed_expected"]["value"] == pytest.approx(direct.observed_expected.value)
    assert proposed.shift is not None
    assert of_model["proposal"]["shift"]["value"] == pytest.approx(proposed.shift.value)
    assert of_model["proposal"]["advice"] == proposed.advice == advice
    assert set(told["left_out"].values()) == {0}
    written = adapted(harness, workers.model_dir, tmp_path / "new")
    assert written.returncode == (0 if advice is Advice.RECALIBRATE else 1), written.stderr
    if advice is Advice.RECALIBRATE:
        new = Scorer.from_directory(tmp_path / "new")
        assert new.risks(features(frame)) == pytest.approx(shift_risks(risks, proposed.proposed), abs=2e-6)
    assert [groups_of(stream.address, topic) for topic in (stream.topics.scores, stream.topics.outcomes)] == before


def test_excluded_outcomes_are_reported(stream: Stream, workers: Workers, harness: DlqHarness) -> None:
    """By reason, without naming a patient; `source` selects the score, and the text names the biases."""
    everybody = scored(stream, workers, "switzerland")
    name = [str(record["patient_id"]) for record, _ in everybody]
    source = {score.patient_id: score.source for score in (decode_score(each.value or b"") for each in stream.read)}
    place = {
        patient: {"topic": at.topic, "partition": at.partition, "offset": at.offset} for patient, at in source.items()
    }
    say(harness, [{"patient_id": each, "outcome": 1} for each in name[:60]])
    say(harness, [{"patient_id": name[0], "outcome": 1, "source": place[name[0]]}])
    say(harness, [{"patient_id": name[1], "outcome": 0}, {"patient_id": "nobody", "outcome": 1}])
    say(harness, [{"patient_id": name[70], "outcome": 1, "source": place[name[71]]}])
    say(harness, [{"patient_id": name[2], "outcome": 2}])
    told = asked(harness)
    counted = {"unreadable": 1, "without_score": 1, "other_patient": 1, "repeated": 1, "contradictory": 2}
    assert {reason: count for reason, count in told["left_out"].items() if count} == counted
    assert told["models"][0]["all"]["outcomes"] == 59
    assert asked(harness, "--outcomes", "10")["left_out"]["older"] == 54
    text = run(harness).stdout
    assert "(verification bias)" in " ".join(text.split())
    assert not any(each in text for each in name)


def test_a_score_after_the_outcome_is_not_its_score(stream: Stream, workers: Workers, harness: DlqHarness) -> None:
    """A patient who returns after the outcome became known: the new score has none."""
    create_topics(stream.address, [stream.topics.outcomes], PARTITIONS, {})
    (record, _), *_ = patients("va")
    key = str(record["patient_id"]).encode()
    with workers.start(stream.address, **MODEL) as worker:
        worker.await_ready()
        stream.send(json.dumps(record).encode(), key)
        stream.read_all()
        say(harness, [{"patient_id": key.decode(), "outcome": 1}])
        stream.send(json.dumps({**record, "age": 30, "cp": 1, "sex": 0}).encode(), key)
        stream.read_all()
    first, second = (decode_score(each.value or b"").risk for each in stream.read)
    assert first > second
    assert asked(harness)["models"][0]["all"]["mean_risk"] == first


def test_a_port_in_use_is_reported() -> None:
    """By the same line and exit code as a worker's, before the broker is asked."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "heartstream", "outcomes", "--follow"],
            env={**os.environ, "HEARTSTREAM_TELEMETRY__PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )
    status = f"heartstream: cannot listen at 127.0.0.1:{port} (HEARTSTREAM_TELEMETRY__PORT): Address already in use\n"
    assert (done.returncode, done.stderr) == (69, status)


def test_follow_reports_changes(stream: Stream, workers: Workers, harness: DlqHarness) -> None:
    """As text and as metrics; at its end the result is that of a single run."""
    everybody = scored(stream, workers, "va")
    known = [{"patient_id": str(record["patient_id"]), "outcome": found} for record, found in everybody]
    say(harness, known[:30])
    port = free_port()
    follower = subprocess.Popen(
        [sys.executable, "-m", "heartstream", "outcomes", "--follow", "--interval", "0.2", "--json"],
        env={**harness.environment, "HEARTSTREAM_TELEMETRY__PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["models"][0]["all"]["outcomes"] == 30
        assert shown(port)["heartstream_outcomes_evaluated", "all"] == 30
        say(harness, known[30:])
        found: dict[str, Any] = {}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not found or found["models"][0]["all"]["outcomes"] < len(known):
            assert time.monotonic() < deadline
            found = json.loads(follower.stdout.readline())
        assert found == asked(harness)
        ratio = found["models"][0]["all"]["observed_expected"]
        told = shown(port)
        assert told["heartstream_outcomes_observed_expected_ratio", "all"] == ratio["value"]
        assert told["heartstream_outcomes_observed_expected_ratio_low", "all"] == ratio["low"]
        assert told["heartstream_outcomes_brier_score", "last"] == found["models"][0]["last"]["brier"]
        assert told["heartstream_process_info", ""] == 1
        named = {metric.name for metric in metrics.DESCRIBED if metric.name.startswith("heartstream_outcomes_")}
        assert named - {name for name, _ in told} == set()
        follower.terminate()
        assert follower.wait(DEADLINE_SECONDS) == 0
    finally:
        follower.kill()
        follower.communicate()


def shown(port: int) -> dict[tuple[str, str], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        samples = metrics.read(response.read().decode())
    return {(sample.name, sample.labels.get("window", "")): sample.value for sample in samples}


def test_a_missing_topic_is_reported(harness: DlqHarness) -> None:
    """It is not created by reading."""
    done = run(harness)
    assert (done.returncode, done.stdout) == (69, "")
    assert harness.topics.outcomes in done.stderr
