"""The MLflow store has one location for all readers, and an interruption leaves no partial store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import training
from training.pipeline import TrainingResult
from training.tracking.mlflow_run import track
from training.tracking.mlflow_store import MlflowStore

# MLflow's own code uses what SQLAlchemy and pydantic have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROOT = Path(training.__file__).parent.parent
KILLED_AT = """
import os, sys
import sqlalchemy
from sqlalchemy.engine import Engine

left = int(sys.argv[1])

@sqlalchemy.event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    global left
    left -= 1
    if not left:
        os._exit(9)
"""
OURS = """
from pathlib import Path
from training.tracking.mlflow_store import MlflowStore

with MlflowStore.at(Path("mlflow")).in_use(create=True):
    pass
"""
MLFLOWS = """
from mlflow import MlflowClient

os.mkdir("mlflow")
MlflowClient("sqlite:///mlflow/mlflow.db").search_experiments()
"""
IN_THE_MIDDLE = "40"
"""Statements, of some 300, that creating a store is interrupted after."""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder without settings for the store."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.usefixtures("unset")
def test_every_reader_finds_what_was_recorded_by_default(report: TrainingResult, tmp_path: Path) -> None:
    """`model promote` and the code of docs/models.md; no second store appears in the current directory."""
    track(report, tmp_path / "mlflow")
    promoted = run(tmp_path, "-m", "heartstream", "model", "promote", "models:/heartstream@champion")
    assert (promoted.returncode, promoted.stderr) == (0, "")
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    documented = re.findall(r"```python\n(import mlflow\n.*?)```", page, re.DOTALL)
    frame = (
        "from schemas.tables.builtin import UCI_HEART\n"
        "from training.tracking.mlflow_models import input_example\n"
        "frame = input_example(UCI_HEART)\n"
    )
    loaded = run(tmp_path, "-c", frame + documented[0])
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow", "models"]


def test_reading_does_not_create_a_store(tmp_path: Path) -> None:
    """The error names the command that creates one, and the option."""
    done = run(tmp_path, "-m", "heartstream", "model", "promote", "models:/heartstream@champion")
    assert (done.returncode, "heartstream train" in done.stderr, "--mlflow-dir" in done.stderr) == (69, True, True)
    assert not (tmp_path / "mlflow").exists()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("statement", ["5", IN_THE_MIDDLE])
def test_an_interrupted_start_leaves_no_store_behind(tmp_path: Path, statement: str) -> None:
    """Killed at any statement of its creation, the next process starts from scratch."""
    assert run(tmp_path, "-c", KILLED_AT + OURS, statement).returncode == 9
    assert not (tmp_path / "mlflow" / "mlflow.db").exists()
    with MlflowStore.at(tmp_path / "mlflow").in_use(create=True):
        from mlflow import MlflowClient  # noqa: PLC0415  # slow import

        assert [each.name for each in MlflowClient().search_experiments()] == ["Default"]


def test_a_partly_migrated_store_is_reported_with_its_remedy(tmp_path: Path) -> None:
    """If MLflow itself was killed during a migration the error says what to do, without a traceback."""
    assert run(tmp_path, "-c", KILLED_AT + MLFLOWS, IN_THE_MIDDLE).returncode == 9
    done = run(tmp_path, "-m", "heartstream", "model", "promote", "models:/heartstream@champion")
    assert (done.returncode, len(done.stderr.splitlines())) == (69, 1)
    assert "move that file away: heartstream train then makes a new one" in done.stderr
    assert str(tmp_path / "mlflow" / "mlflow.db") in done.stderr
