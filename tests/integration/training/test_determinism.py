"""The same input gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from training.pipeline import TrainingRequest, train
train(TrainingRequest(Path(sys.argv[1]), model_version="test", quick=True))
print(*(name for name in ("mlflow", "httpx") if name in sys.modules))
"""


class Training(NamedTuple):
    """A model directory, trained in a process of its own, and what that printed."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp("again") / "model"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=280, check=True)
    return Training(folder, run.stdout)


def test_two_processes_write_the_same_bytes(training: Training, model_dir: Path) -> None:
    """With different hash seeds, folders and process ids every file has the same SHA-256."""
    one, another = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        for folder in (training.folder, model_dir)
    )
    assert len(one) == 18
    assert one == another


def test_training_imports_only_what_it_needs(training: Training) -> None:
    """Without tracking it does not import MLflow, and on the snapshot no network library."""
    assert training.printed == "\n"
