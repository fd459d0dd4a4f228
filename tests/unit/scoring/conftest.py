"""The model artifacts that these tests score with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scoring.model_artifact import Artifact, load
from scoring.scorer import Scorer
from tests.support.model_files import PICKLES, Trap, pickled, replace_file


@pytest.fixture(scope="session")
def scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "logistic_regression")


@pytest.fixture(scope="session")
def linear_artifact(model_dir: Path) -> Artifact:
    return load(model_dir, "logistic_regression")


@pytest.fixture(scope="session")
def pattern_artifact(model_dir: Path) -> Artifact:
    return load(model_dir, "pattern_submodels")


@pytest.fixture(scope="session")
def forest_artifact(model_dir: Path) -> Artifact:
    return load(model_dir, "random_forest")


@pytest.fixture(scope="session")
def boosted_artifact(model_dir: Path) -> Artifact:
    return load(model_dir, "gradient_boosting")


@pytest.fixture(scope="session")
def flchain_artifact(flchain_dir: Path) -> Artifact:
    """A model of another table, with codes that are texts."""
    return load(flchain_dir)


@pytest.fixture(scope="session")
def flchain_scorer(flchain_artifact: Artifact) -> Scorer:
    return Scorer(flchain_artifact)


@pytest.fixture
def folder(model_dir: Path, tmp_path: Path) -> Path:
    """A copy of the model directory, for tests that damage it."""
    return Path(shutil.copytree(model_dir, tmp_path / "model"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a trap creates."""
    return tmp_path / "a-trap-was-sprung"


@pytest.fixture
def trapped(folder: Path, mark: Path) -> Path:
    """A model directory in which every pickle is a trap, and the manifest has the traps' digests."""
    for name in PICKLES:
        replace_file(folder, name, pickled(Trap(mark)))
    return folder
