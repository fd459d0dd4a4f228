"""The tutorials' commands print what the tutorials show, as far as that takes neither a training nor minutes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.code_blocks import ROOT, blocks
from tests.support.stream import Stream
from tests.support.workers import Workers

STREAM = list(blocks(ROOT / "docs/tutorials/first-stream.md"))
READ, SEND = (block.text for block in STREAM if "confluent_kafka" in block.text)
OWN = list(blocks(ROOT / "docs/tutorials/own-patients.md"))
HEARTSTREAM = f"{sys.executable} -m heartstream"


def output_of(script: str, folder: Path) -> str:
    """Run a block as a shell does, with this Python for the tutorial's, and return all that it prints."""
    run = script.replace(".venv/bin/python", sys.executable).replace("./run", HEARTSTREAM)
    done = subprocess.run(
        ["/bin/sh", "-ec", run],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_table_is_drafted_from_the_patients_of_scikit_learn(tmp_path: Path) -> None:
    """Steps 1 and 2 of "your own patients", with the outputs that the page shows."""
    (make, made), (init, drafted), (check, checked) = zip(OWN[:6:2], OWN[1:6:2], strict=True)
    assert output_of(make.text, tmp_path).endswith(made.text)
    assert output_of(init.text, tmp_path) == drafted.text
    assert output_of(check.text, tmp_path) == checked.text


def test_a_patient_is_sent_and_its_score_is_read(stream: Stream, workers: Workers, broker: str, tmp_path: Path) -> None:
    """Steps 2 and 3 of "a first stream": the risk is that of the page; its interval depends on the training."""

    def on_these_topics(script: str) -> str:
        topics = {"demo.patients": stream.topics.patients, "demo.risk-scores": stream.topics.scores}
        for name, ours in {**topics, "localhost:9092": broker, '"mine"': f'"{stream.topics.scores}"'}.items():
            script = script.replace(name, ours)
        return script

    shown = STREAM[[block.text for block in STREAM].index(SEND) + 1].text
    with workers.start(broker) as worker:
        worker.await_ready()
        (sent,) = output_of(on_these_topics(SEND), tmp_path).splitlines()
    assert re.sub(r"\(0\.\d+, 0\.\d+\)", "()", sent) == re.sub(r"\(0\.\d+, 0\.\d+\)", "()", shown.rstrip())
    # The stream is at rest: what is there already is read in place of what arrives.
    read = (
        READ.replace("latest", "earliest").replace("consume(5,", "consume(1,").replace('"tutorial"', '"tutorial-test"')
    )
    assert output_of(on_these_topics(read), tmp_path) == "p-1 0.799815 ('ca',)\n"
