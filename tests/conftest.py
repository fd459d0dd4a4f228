"""A real model, trained once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoring.scorer import Scorer
from training.run import TrainingRequest, train


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    train(TrainingRequest(folder, model_version="test"))
    return folder


@pytest.fixture(scope="session")
def scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir)


@pytest.fixture(scope="session")
def forest_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "random_forest")
