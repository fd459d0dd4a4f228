"""The rows and results that the laws of the workshop are about; each is made once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from training.data.frames import TRAINING_SITE, read_snapshot, site_rows
from training.evaluation.cross_validation import Evaluation
from training.pipeline import TrainingReport, TrainingRequest, train


@pytest.fixture(scope="session")
def everyone() -> pd.DataFrame:
    """All 920 patients."""
    return read_snapshot()


@pytest.fixture(scope="session")
def cleveland(everyone: pd.DataFrame) -> pd.DataFrame:
    """The 303 training rows."""
    return site_rows(everyone, TRAINING_SITE)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> TrainingReport:
    """One training run with seed 42, and its model directory."""
    return train(TrainingRequest(tmp_path_factory.mktemp("trained") / "model", model_version="1.2.3", quick=True))


@pytest.fixture(scope="session")
def model_folder(report: TrainingReport) -> Path:
    """The model directory of that run."""
    return report.folder


@pytest.fixture(scope="session")
def evaluations(report: TrainingReport) -> dict[str, Evaluation]:
    """The cross-validations of that run, by model."""
    return {evaluation.name: evaluation for evaluation in report.evaluations}
