"""Fitted pipelines of Cleveland's patients, as files to import."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from schemas.tables.builtin import UCI_HEART
from scoring.features import Matrix
from training.data.frames import read_snapshot, target
from training.importing.importer import ImportRequest

BACKWARDS: Final = list(UCI_HEART.names[::-1])
"""The columns in another order than the table's."""
_QUANTITIES: Final = ["age", "trestbps", "chol", "thalach", "oldpeak", "ca"]
_CODES: Final = ["sex", "cp", "fbs", "restecg", "exang", "slope", "thal"]


@cache
def patients() -> pd.DataFrame:
    """Return Cleveland's patients."""
    return read_snapshot(("cleveland",))


def by_columns(classifier: Any) -> Any:
    """Return an unfitted pipeline whose ColumnTransformer names its columns, as most people write one."""
    codes = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    quantities = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer([("quantities", quantities, _QUANTITIES), ("codes", codes, _CODES)])
    return make_pipeline(columns, classifier)


def imputed(classifier: Any) -> Any:
    """Return an unfitted pipeline of a matrix as a whole."""
    return make_pipeline(SimpleImputer(), StandardScaler(), classifier)


def fitted(estimator: Any) -> Any:
    """Fit an estimator on a data frame of these patients."""
    return estimator.fit(patients()[BACKWARDS], target(patients()))


def risks(estimator: Any, matrix: Matrix) -> Matrix:
    """Return the risks (n,) that scikit-learn gives rows (n, 13), by an estimator that was fitted on a data frame."""
    found: Matrix = estimator.predict_proba(pd.DataFrame(matrix, columns=list(UCI_HEART.names))[BACKWARDS])[:, 1]
    return found


def saved(estimator: Any, folder: Path) -> Path:
    """Write the file of an estimator."""
    joblib.dump(estimator, folder / "fitted.joblib")
    return folder / "fitted.joblib"


def labelled(folder: Path) -> Path:
    """Write these patients' labelled file."""
    patients().drop(columns="site").to_csv(folder / "labelled.csv", index=False)
    return folder / "labelled.csv"


def request_for(file: Path, **changes: Any) -> ImportRequest:
    """Return the request to import a file into the folder `model` beside it."""
    settings = {"table": UCI_HEART, "trusted_source": "A. Smith", "model_version": "1", **changes}
    if "data" not in settings:
        settings["data"] = labelled(file.parent)
    return ImportRequest(source=str(file), output=file.parent / "model", **settings)
