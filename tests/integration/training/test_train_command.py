"""`heartstream train` in a process of its own: the same input gives the same bytes; what it prints and imports."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
TERMINAL = 80
PROGRAM = """
import sys
from pathlib import Path
from heartstream.cli.train import train
train(output=Path(sys.argv[1]), tracking=False, model_version="test", quick=True)
print(*(name for name in ("mlflow", "httpx") if name in sys.modules))
"""


class Training(NamedTuple):
    """A model directory, trained in a process of its own, and what that process printed."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp("again") / "model"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=True)
    return Training(folder, run.stdout, run.stderr)


def test_two_processes_write_the_same_bytes(training: Training, model_dir: Path) -> None:
    """With different hash seeds, folders, process ids and threads, every file has the same SHA-256."""
    one, another = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in (training.folder, model_dir)
    )
    assert len(one) == 18
    assert one == another


def test_training_imports_only_what_it_needs(training: Training) -> None:
    """Without tracking it does not import MLflow, and on the snapshot no network library."""
    assert training.out.splitlines()[-1] == ""


def test_train_prints_an_aligned_table(training: Training) -> None:
    """Piped, it is plain text: each metric with its spread per model, the best one with the reason, and the directory.

    Standard error has one line per step, as it begins.
    """
    out, err = training.out, training.err
    lines = out.splitlines()
    models = ["regression", "submodels", "forest", "boosting"]
    start = next(i for i, line in enumerate(lines) if line.split() == models)
    table = [line.rstrip() for line in lines[start + 1 : start + 10]]
    assert [line.split("  ")[0] for line in table] == [
        "Accuracy", "Precision", "Recall", "Specificity", "F1", "ROC-AUC", "Brier score", "Log loss",
        "Calibration slope",
    ]  # fmt: skip
    assert [line.count("±") for line in table] == [4] * 8 + [0]
    assert len({len(line) for line in table}) == 1
    tables = lines[start : next(i for i, line in enumerate(lines) if line.startswith("Best model"))]
    assert [line for line in tables if len(line.rstrip()) > TERMINAL] == []
    assert "Best model: pattern_submodels: log loss 0." in out
    assert f"Model directory: {training.folder} (version test)" in out
    steps = err.splitlines()
    assert (steps[0], steps[-1]) == ("train: reading the data (0 of 9)", "train: done (9 of 9)")
    assert (len(set(steps)), "\x1b" in out + err) == (len(steps), False)
