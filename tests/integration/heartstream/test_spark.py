"""Spark on local[2]: each row has the outcome of `heartstream score`, and none is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pyarrow.parquet as pq
import pytest

from heartstream.cli.model import sign
from heartstream.files.score import Request, score_file
from scoring.scorer import Scorer
from tests.support.signing_keys import Keys
from tests.support.spark_table import BAD, table
from training.pipeline import TrainingResult
from training.tracking.mlflow_models import CHAMPION, REGISTERED_MODEL
from training.tracking.mlflow_run import track

# MLflow's own code uses what SQLAlchemy and pydantic have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
OLDEST_JAVA = 17


class Job:
    """The job's input, and where its results are."""

    def __init__(self, folder: Path, report: TrainingResult) -> None:
        self.report, self.output, self.patients = report, folder / "output", folder / "patients.parquet"
        pq.write_table(table(), self.patients)

    def run(self) -> None:
        store = track(self.report, self.output.parent / "mlflow").store
        self.output.mkdir()
        keys = Keys(self.output.parent, "ours")
        sign(self.report.folder, key=keys.private)
        registered = f"models:/{REGISTERED_MODEL}@{CHAMPION}"
        names = (self.patients, self.report.folder, keys.public, registered, store, self.output)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.integration.heartstream.spark_job", *map(str, names)],
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]


def java_version() -> int:
    """Return the version of the Java that Spark would start; 0 if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, report: TrainingResult) -> Job:
    if (found := java_version()) < OLDEST_JAVA:
        pytest.skip(f"Spark needs Java {OLDEST_JAVA} or later, and here is {found or 'none'}")
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        job = Job(folder, replace(report, folder=copytree(report.folder, folder / "model")))
        job.run()
    return job


def test_each_row_has_the_outcome_of_the_file_interface(job: Job) -> None:
    """The same bytes for a score and the same faults for an invalid row, one row out per row in."""
    scores, errors = job.output / "scores.ndjson", job.output / "errors.ndjson"
    request = Request(job.patients, scores, errors)
    tally = score_file(request, Scorer.from_directory(job.report.folder), lambda *_: None)
    found = pq.read_table(job.output / "scored").to_pylist()
    assert (tally.rows, tally.rejected, len(found)) == (920 + len(BAD), len(BAD), 920 + len(BAD))
    assert Counter(row["score"] for row in found if row["score"]) == Counter(scores.read_text().splitlines())
    told = [json.dumps(json.loads(line)["errors"]) for line in errors.read_text().splitlines()]
    assert Counter(json.dumps(json.loads(row["errors"])) for row in found if row["errors"]) == Counter(told)


def test_a_row_has_a_score_or_errors(job: Job) -> None:
    """Never both and never neither; risk and label are those of the score."""
    for row in pq.read_table(job.output / "scored").to_pylist():
        assert (row["score"] is None) is (row["errors"] is not None)
        if row["score"]:
            score = json.loads(row["score"])
            assert (score["patient_id"], score["risk"], score["label"]) == (
                row["patient_id"],
                row["risk"],
                row["label"],
            )


def test_an_invalid_table_or_model_is_refused_by_the_driver(job: Job) -> None:
    """Before anything is computed, with every problem."""
    told = json.loads((job.output / "refusals.json").read_text())
    assert told[0] == "DataError: the table is refused: no column thal"
    assert told[1].startswith("DataError: the table is refused: no column ca; 1 column(s)")
    assert told[2].startswith("ArtifactError: no model at")


def test_a_model_that_was_changed_on_the_way_scores_nothing(job: Job) -> None:
    """A Python worker verifies what it receives: the job fails with the reason."""
    told = json.loads((job.output / "refusals.json").read_text())[3]
    assert "pattern_submodels.json: has" in told
    assert "ArtifactError" in told


def test_the_registered_model_gives_the_same_risks(job: Job) -> None:
    """MLflow's `spark_udf` of the champion gives each valid row the same risk to the last bit."""
    by_mlflow = {row["patient_id"]: row["risk"] for row in pq.read_table(job.output / "mlflow").to_pylist()}
    found = pq.read_table(job.output / "scored").to_pylist()
    expected = {row["patient_id"]: row["risk"] for row in found if str(row["patient_id"]).startswith("good-")}
    assert len(expected) == 920
    assert {name: risk.hex() for name, risk in by_mlflow.items()} == {name: r.hex() for name, r in expected.items()}
