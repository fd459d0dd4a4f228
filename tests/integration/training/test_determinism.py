"""The same input gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from training.pipeline import TrainingRequest, train
train(TrainingRequest(Path(sys.argv[1]), model_version="1.2.3", quick=True))
print(*(name for name in ("mlflow", "httpx") if name in sys.modules))
"""


def start(folder: Path, hash_seed: int) -> subprocess.Popen[str]:
    """Train in a child process."""
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder.parent, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Two model directories, trained in processes with different hash seeds, and what those printed."""
    parent = tmp_path_factory.mktemp("twice")
    folders = [parent / "one", parent / "another"]
    processes = [start(folder, hash_seed) for hash_seed, folder in enumerate(folders, 1)]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return dict(zip(folders, printed, strict=True))


def test_two_processes_write_the_same_bytes(trainings: dict[Path, str]) -> None:
    """With different hash seeds, folders and process ids every file has the same SHA-256."""
    one, another = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} for folder in trainings
    )
    assert len(one) == 18
    assert one == another


def test_training_imports_only_what_it_needs(trainings: dict[Path, str]) -> None:
    """Without tracking it does not import MLflow, and on the snapshot no network library."""
    assert set(trainings.values()) == {"\n"}
