"""A model that hangs while a file exists, for tests of a worker whose scoring blocks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scoring.estimators import new_preprocessor
from scoring.features import Matrix
from scoring.model_artifact import DataEntry
from tests.support.models import training_data
from tests.support.uci import UCI, UNKNOWN
from training.candidates import new_logistic_regression
from training.export.model_directory import FittedModels, TrainedModel, write_model


class Freezing:
    """A fitted classifier that returns no prediction while the file `frost` exists."""

    def __init__(self, classifier: Any, frost: Path) -> None:
        self.classifier, self.frost = classifier, frost

    def predict_proba(self, inputs: Matrix) -> Matrix:
        while self.frost.exists():
            time.sleep(0.05)
        return self.classifier.predict_proba(inputs)

    def get_params(self, *, deep: bool) -> dict[str, str]:  # noqa: ARG002  # scikit-learn's signature
        return {}


def write_freezing_model(folder: Path, frost: Path) -> None:
    """Write a model directory, as training does, whose only model is a `Freezing` one."""
    matrix, labels = training_data()
    preprocessor = new_preprocessor(UCI.columns).fit(matrix)
    classifier = new_logistic_regression(UCI, 1).fit(preprocessor.transform(matrix), labels)
    models = (TrainedModel("freezing", Freezing(classifier, frost), UNKNOWN, {}),)
    data = DataEntry("test", len(labels), int(labels.sum()), "", "patients of a test")
    write_model(folder, FittedModels(UCI, preprocessor, models, "freezing", matrix, data, 1, 0.5, "test"))
