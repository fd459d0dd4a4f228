"""Rows and results that the training tests share; each is computed once."""

from __future__ import annotations

import pandas as pd
import pytest

from training.data.frames import TRAINING_SITE, read_snapshot, site_rows
from training.evaluation.cross_validation import CrossValidation
from training.pipeline import TrainingResult


@pytest.fixture(scope="session")
def everyone() -> pd.DataFrame:
    """All 920 patients."""
    return read_snapshot()


@pytest.fixture(scope="session")
def cleveland(everyone: pd.DataFrame) -> pd.DataFrame:
    """The 303 training rows."""
    return site_rows(everyone, TRAINING_SITE)


@pytest.fixture(scope="session")
def evaluations(report: TrainingResult) -> dict[str, CrossValidation]:
    """The cross-validations of that run, by model."""
    return {evaluation.name: evaluation for evaluation in report.cross_validations}
