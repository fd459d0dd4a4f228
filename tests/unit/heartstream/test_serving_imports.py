"""A serving process stays small: it imports nothing that only training needs."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKSHOP = ("sklearn", "scipy", "joblib", "pandas", "mlflow", "onnx", "training", "testcontainers", "docker", "httpx")
"""Top-level packages that no serving process imports, whatever is installed beside it."""
EXTRAS = ("opentelemetry", "google", "requests", "jwt")
"""And those that it imports only where the settings ask for what they do."""
SCORE = """
from schemas.records import Source
from schemas.codec import encode_scores
from scoring.batches import JsonBatch
from scoring.scorer import Scorer

scorer = Scorer.from_directory(Path(model), name)
assert scorer.fallback_reason is None, scorer.fallback_reason
fields = {"age": 54, "sex": 1, "cp": 3, "trestbps": 130, "chol": 246, "fbs": 0, "restecg": 1, "thalach": 150,
          "exang": 0, "oldpeak": 1.0, "slope": 2, "ca": 0, "thal": None}
record = json.dumps({"patient_id": "p", **fields}).encode()
(score,) = encode_scores(scorer.score(JsonBatch([record]).decode(scorer.compiled)).scores)
assert scorer.self_check()
"""
WORKER = """
import worker.main
from runtime.settings import Settings
from worker.bootstrap import create_app

create_app(Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": model, "HEARTSTREAM_MODEL__NAME": name}))
"""
GATEWAY = """
import api.main
from api.security.auth import Authenticator
from api.bootstrap import create_application
from api.graceful_shutdown import GracefulShutdown
from runtime.settings import Settings

settings = Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": model, "HEARTSTREAM_MODEL__NAME": name})
create_application(settings, Authenticator([]), GracefulShutdown())
"""
COMMAND = """
from heartstream.cli import app

try:
    app(["worker", "--show-config"])
except SystemExit as end:
    assert end.code == 0, end.code
"""
PROCESSES = {"core": SCORE, "worker": WORKER, "gateway": GATEWAY, "command": COMMAND}


@cache
def imported_by(program: str, model: Path, name: str, before: str = "") -> frozenset[str]:
    """Run a program in a child process and return the names of all modules that it imported."""
    lines = ("import json, sys", "from pathlib import Path", "model, name = sys.argv[1:]", before, program)
    script = "\n".join((*lines, 'print("MODULES", *sys.modules)'))
    environment = {variable: text for variable, text in os.environ.items() if not variable.startswith("HEARTSTREAM_")}
    run = subprocess.run(
        [sys.executable, "-c", script, str(model), name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return frozenset(run.stdout.split("MODULES ")[1].split())


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
@pytest.mark.parametrize("program", PROCESSES.values(), ids=PROCESSES)
def test_serving_imports_nothing_of_training(program: str, name: str, model_dir: Path) -> None:
    """A process that scores with either model imports no library that only training or an extra needs."""
    imported = {module.split(".")[0] for module in imported_by(program, model_dir, name)}
    assert imported.intersection(WORKSHOP + EXTRAS) == set()


@pytest.mark.parametrize("program", PROCESSES.values(), ids=PROCESSES)
def test_linear_model_needs_no_runtime_for_forests(program: str, model_dir: Path) -> None:
    """A logistic regression is served without onnxruntime and numpy.random."""
    imported = imported_by(program, model_dir, "logistic_regression")
    assert imported.intersection({"onnxruntime", "numpy.random", "scoring.estimators"}) == set()


def test_command_imports_no_framework_to_show_its_settings(model_dir: Path) -> None:
    """Reading settings imports neither Faust nor aiohttp nor numpy."""
    imported = imported_by(COMMAND, model_dir, "logistic_regression")
    assert imported.intersection({"faust", "aiohttp", "numpy", "confluent_kafka"}) == set()


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_models_are_served_without_scikit_learn(name: str, model_dir: Path) -> None:
    """A valid model is scored if scikit-learn, scipy and joblib cannot be imported."""
    absent = "sys.modules.update(sklearn=None, scipy=None, joblib=None)"
    assert "scoring.engines" in imported_by(SCORE, model_dir, name, absent)


REFUSED = """
from schemas.errors import ArtifactError
from scoring.model_artifact import load
from scoring.compiled_table import CompiledTable
from scoring.engines import build_engine
import msgspec

try:
    artifact = load(Path(model), name)
    build_engine(msgspec.structs.replace(artifact, plain=b"{}"), CompiledTable(artifact.table))
except ArtifactError as error:
    told = str(error)
assert "missing required field" in told, told
assert "joblib is not installed: in a checkout of heartstream, pip install -e '.[sklearn]'" in told, told
"""


UNTRACED = """
from runtime.settings import Settings
from runtime.tracing.setup import open_tracing
from schemas.errors import SettingsError

tracing = Settings.from_mapping({"HEARTSTREAM_TRACING__ENDPOINT": "http://localhost:4318"}).tracing
try:
    open_tracing(tracing, "worker")
except SettingsError as error:
    told = str(error)
setting, _, advice = told.partition(": traces need the extra tracing: ")
assert (setting.split()[-1], "pip install -e '.[tracing]'" in advice) == ("HEARTSTREAM_TRACING__ENDPOINT", True), told
"""


def test_missing_opentelemetry_is_reported_if_tracing_is_on(model_dir: Path) -> None:
    """The process does not start, and the error says what to install."""
    assert imported_by(UNTRACED, model_dir, "logistic_regression", "sys.modules.update(opentelemetry=None)")


UNJUDGED = """
import contextlib, io
from heartstream.cli.compare import compare
from heartstream.cli.outcomes import outcomes

for command in (outcomes, compare):
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            command()
    except SystemExit as end:
        assert end.code == 78, end.code
    assert "is not installed: in a checkout of heartstream, pip install -e '.[train]'" in told.getvalue()
"""


def test_missing_training_is_reported_if_outcomes_need_it() -> None:
    """In a serving image the error says what to install."""
    assert imported_by(UNJUDGED, ROOT, "", "sys.modules.update(training=None)")


def test_missing_scikit_learn_is_reported_if_a_model_needs_it(model_dir: Path) -> None:
    """The model is refused, and the error says what to install."""
    assert imported_by(REFUSED, model_dir, "logistic_regression", "sys.modules.update(joblib=None)")
