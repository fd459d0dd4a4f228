"""A serving process stays small: it imports what it needs, and none of what training needs."""

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
(score,) = encode_scores(scorer.score(JsonBatch([record]).decode()).scores)
assert scorer.self_check()
"""
WORKER = """
import worker.main
from runtime.settings import Settings
from worker.bootstrap import create_app

create_app(Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": model, "HEARTSTREAM_MODEL__NAME": name}))
"""
GATEWAY = """
import api.process
from api.auth import Gatekeeper
from api.bootstrap import create_application
from api.leaving import Leaving
from runtime.settings import Settings

settings = Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": model, "HEARTSTREAM_MODEL__NAME": name})
create_application(settings, Gatekeeper([]), Leaving())
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
    """Run a program in a process of its own and return the names of all modules that it imported."""
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
def test_serving_imports_nothing_of_the_workshop(program: str, name: str, model_dir: Path) -> None:
    """With either model, a process that scores has loaded no library that only training or an extra needs."""
    imported = {module.split(".")[0] for module in imported_by(program, model_dir, name)}
    assert imported.intersection(WORKSHOP + EXTRAS) == set()


@pytest.mark.parametrize("program", PROCESSES.values(), ids=PROCESSES)
def test_linear_model_needs_no_runtime_for_forests(program: str, model_dir: Path) -> None:
    """A logistic regression is served without onnxruntime and without numpy's random generators."""
    imported = imported_by(program, model_dir, "logistic_regression")
    assert imported.intersection({"onnxruntime", "numpy.random", "scoring.estimators"}) == set()


def test_command_imports_no_framework_to_show_its_settings(model_dir: Path) -> None:
    """What only reads settings waits for neither Faust nor aiohttp nor numpy."""
    imported = imported_by(COMMAND, model_dir, "logistic_regression")
    assert imported.intersection({"faust", "aiohttp", "numpy", "confluent_kafka"}) == set()


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_models_are_served_where_scikit_learn_is_not_installed(name: str, model_dir: Path) -> None:
    """A sound model is scored where none of scikit-learn, scipy and joblib can be imported."""
    absent = "sys.modules.update(sklearn=None, scipy=None, joblib=None)"
    assert "scoring.engines" in imported_by(SCORE, model_dir, name, absent)


REFUSED = """
from schemas.errors import ArtifactError
from scoring.model_artifact import load
from scoring.engines import build_engine
import msgspec

try:
    build_engine(msgspec.structs.replace(load(Path(model), name), plain=b"{}"))
except ArtifactError as error:
    told = str(error)
assert "missing required field" in told, told
assert "joblib is not installed: pip install 'heartstream[sklearn]'" in told, told
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
assert "HEARTSTREAM_TRACING__ENDPOINT: traces need pip install 'heartstream[tracing]'" in told, told
"""


def test_lack_of_opentelemetry_is_told_where_traces_are_switched_on(model_dir: Path) -> None:
    """A process that should trace and cannot does not start, and says what to install."""
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
    assert "is not installed: pip install 'heartstream[train]'" in told.getvalue(), told.getvalue()
"""


def test_lack_of_the_workshop_is_told_where_outcomes_are_judged() -> None:
    """In an image that serves, which has no training, what judges outcomes says what to install."""
    assert imported_by(UNJUDGED, ROOT, "", "sys.modules.update(training=None)")


def test_lack_of_scikit_learn_is_told_where_it_is_needed(model_dir: Path) -> None:
    """A model that only scikit-learn could serve is refused where that is not installed, with what to install."""
    assert imported_by(REFUSED, model_dir, "logistic_regression", "sys.modules.update(joblib=None)")
