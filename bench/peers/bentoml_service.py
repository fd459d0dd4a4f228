"""BentoML: one API that takes a record and scores it with the saved pipeline.

Its adaptive batching is for APIs that take arrays.
"""

from __future__ import annotations

import os
from typing import Any

import bentoml
import joblib
import numpy as np

FIELDS = (
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "slope",
    "ca",
    "thal",
)


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Risk:
    """Scores patients."""

    def __init__(self) -> None:
        self._pipeline = joblib.load(os.environ["PIPELINE"])

    @bentoml.api
    def predict(self, record: dict[str, Any]) -> dict[str, float]:
        """Score one patient."""
        row = np.array([[record[name] for name in FIELDS]], dtype=np.float64)
        return {"risk": float(self._pipeline.predict_proba(row)[0, 1])}
