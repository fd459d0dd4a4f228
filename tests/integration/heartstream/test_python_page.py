"""The examples of docs/python.md, docs/formats.md and the README do what the page says: each is a program by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from heartstream import Score, load_model
from heartstream.demo.patients import real_patients
from runtime.settings import Topics
from tests.support.stream import Stream
from tests.support.workers import Workers

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
RECORDS, FRAME, SCORES, DEAD_LETTERS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PLAIN, EVENT = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "formats.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
README = (ROOT / "README.md").read_text("utf-8")
(FIRST,) = re.findall(r"^\.venv/bin/python <<'END'\n(.*?)^END$", README, re.MULTILINE | re.DOTALL)
MY_APP = "my-app"


@pytest.fixture
def folder(model_dir: Path, tmp_path: Path) -> Path:
    """What the page assumes: a model directory and a file of patients."""
    (tmp_path / "model").symlink_to(model_dir)
    with (tmp_path / "patients.csv").open("wb") as file:
        subprocess.run([sys.executable, "-m", "heartstream", "data", "patients"], stdout=file, cwd=ROOT, check=True)
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def output_of(example: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", example],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def first_lines(example: str, count: int) -> list[str]:
    """Run an example that does not end by itself; return its first lines."""
    with subprocess.Popen(
        [sys.executable, "-c", example], env=environment(), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        watchdog = threading.Timer(120, running.kill)
        watchdog.start()
        try:
            return [running.stdout.readline().rstrip("\n") for _ in range(count)]
        finally:
            watchdog.cancel()
            running.kill()


def test_the_readme_states_the_risk_that_its_example_prints(folder: Path) -> None:
    """The risk does not depend on how long the model was trained; its interval does."""
    (line,) = output_of(FIRST, folder)
    (risk,) = re.findall(r"^prints the risk, ([\d.]+),", README, re.MULTILINE)
    assert re.fullmatch(rf"{re.escape(risk)} \(0\.\d+, 0\.\d+\) \('ca',\)", line)


def test_records_are_scored(folder: Path) -> None:
    """The complete record has a risk, the one without fields has every fault, the model has its disclaimer."""
    score, rejection, disclaimer = output_of(RECORDS, folder)
    assert re.fullmatch(r"p-1 0\.\d+ \(0\.\d+, 0\.\d+\)", score)
    assert rejection.startswith("rejected: missing_field /age, missing_field /sex, ")
    assert disclaimer.startswith("Research and education only. Not a medical device")


def test_a_data_frame_is_scored(folder: Path) -> None:
    """Each patient of the file has a risk, and the five highest ones are shown."""
    header, *rows = output_of(FRAME, folder)
    assert header.split() == ["patient_id", "risk"]
    risks = [float(row.split()[2]) for row in rows]
    assert len(risks) == 5
    assert 1 > risks[0] >= risks[4] > 0.9
    assert risks == sorted(risks, reverse=True)


def test_scores_and_dead_letters_are_consumed(stream: Stream, workers: Workers, broker: str, topics: Topics) -> None:
    """A worker's results are read from real topics; a repeated score is printed once."""

    def send(value: bytes) -> None:
        stream.send(value, b"one key")
        stream.read_all()

    patients = [json.dumps({**real_patients()[0], "patient_id": f"p-{number}"}).encode() for number in range(3)]
    with workers.start(broker) as worker:
        worker.await_ready()
        for value in (b"[]", *patients[:2]):
            send(value)
        first = next(result for result in stream.read if result.letter is None)
        producer = Producer({"bootstrap.servers": broker})
        producer.produce(topics.scores, first.value, first.key, partition=first.partition)
        assert producer.flush(60) == 0
        send(patients[2])
    example = SCORES.replace("localhost:9092", broker).replace('"scores"', f'"{topics.scores}"')
    lines = first_lines(example.replace(MY_APP, f"scores-{topics.scores}"), 3)
    assert [line.split()[0] for line in lines] == ["p-0", "p-1", "p-2"]
    letters = DEAD_LETTERS.replace("localhost:9092", broker).replace('"patients.dlq"', f'"{topics.dead_letters}"')
    (letter,) = first_lines(letters.replace(MY_APP, f"letters-{topics.scores}"), 1)
    assert letter.endswith("['not_an_object']")


def test_records_are_produced_plain_and_as_events(broker: str, stream: Stream, model_dir: Path, folder: Path) -> None:
    """Both are the same valid record; the second one needs what the first has defined."""
    topic = stream.topics.patients
    example = (PLAIN + EVENT).replace("localhost:9092", broker).replace('"patients"', f'"{topic}"')
    assert output_of(example, folder) == []
    consumer = Consumer({"bootstrap.servers": broker, "group.id": f"formats-{topic}", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    plain, event = consumer.consume(2, timeout=60)
    consumer.close()
    assert [dict(each.headers() or ()).get("content-type") for each in (plain, event)] == [
        None,
        b"application/cloudevents+json",
    ]
    assert json.loads(event.value())["data"] == json.loads(plain.value())
    (score,) = load_model(model_dir).score([plain.value()])
    assert isinstance(score, Score)
    assert (plain.key(), event.key(), score.missing) == (b"p-1", b"p-1", ("ca",))
