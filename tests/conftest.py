"""A real model, trained once a session; and property tests that do not fail because a machine is busy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from scoring.scorer import Scorer
from tests.brokers import broker_kinds
from training.run import TrainingRequest, train

settings.register_profile("heartstream", deadline=None, print_blob=True)
settings.load_profile("heartstream")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    train(TrainingRequest(folder, model_version="test", quick=True))
    return folder


@pytest.fixture(scope="session")
def scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir)


@pytest.fixture(scope="session")
def pattern_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "pattern_submodels")


@pytest.fixture(scope="session")
def forest_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "random_forest")


def pytest_report_header() -> str:
    """Say which Kafka brokers the tests run on."""
    best, *others = broker_kinds()
    also = f"; the end-to-end test runs on {' and '.join(others)} too" if others else ""
    return f"kafka broker: {best}{also}"
