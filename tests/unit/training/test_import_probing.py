"""A pipeline that cannot be served is refused before it is imported, with what would help."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from schemas.errors import ArtifactError
from tests.support.models import training_data
from tests.support.uci import UCI
from training.importing.columns import pipeline_input
from training.importing.estimators import describe, open_estimator
from training.importing.probing import Probe

INPUT = pipeline_input(None, 13, UCI.table, 1)


class Answers:
    """A classifier whose `predict_proba` is a function of the rows."""

    def __init__(self, function: Any) -> None:
        self.predict_proba = function


def two(risks: Any) -> Any:
    return np.column_stack([1 - risks, risks])


def needs(*fields: str) -> Answers:
    """A classifier that fails where one of these fields is missing."""
    columns = [UCI.table.names.index(field) for field in fields]

    def risks(matrix: Any) -> Any:
        if np.isnan(matrix[:, columns]).any():
            raise ValueError("Input contains NaN")
        return two(np.nan_to_num(matrix[:, 0]) / 150)

    return Answers(risks)


def refusal(estimator: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        Probe(estimator, INPUT, UCI).check()
    return str(caught.value)


def pickled(thing: object) -> bytes:
    target = BytesIO()
    joblib.dump(thing, target)
    return target.getvalue()


def test_fields_that_the_pipeline_cannot_do_without_are_listed() -> None:
    """All of them, and only them, with what to do."""
    reason = refusal(needs("chol", "thal"))
    assert "fails where chol or thal is missing: set required = true" in reason


def test_a_required_field_may_be_needed() -> None:
    """The table's required fields are never missing."""
    assert Probe(needs("age", "sex"), INPUT, UCI).check().shape == (1024,)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda rows: two(np.full(len(rows), 1.5)), "outside 0 to 1"),
        (lambda rows: two(np.full(len(rows), np.nan)), "outside 0 to 1"),
        (lambda rows: np.full(len(rows), 0.5), r"returns \(1024,\) for 1024 rows"),
        (lambda rows: two(np.argsort(rows[:, 0]) / len(rows)), "depends on the other records"),
        (lambda rows: rows[0] / "", r"cannot score valid records \(TypeError.*; it gets numbers"),
    ],
    ids=["above-1", "nan", "one-column", "batch", "raises"],
)
def test_unusable_risks_are_refused(function: Any, reason: str) -> None:
    """Risks outside 0 to 1, of another shape, or that depend on the batch; and a pipeline that fails."""
    with pytest.raises(ArtifactError, match=reason):
        Probe(Answers(function), INPUT, UCI).check()


def test_fields_without_influence_are_found() -> None:
    """Exchanging their values between patients changes no risk."""
    matrix, _ = training_data()
    unused = Probe(needs("age"), INPUT, UCI).unused_fields(matrix)
    assert unused == UCI.table.names[1:]


def test_a_field_with_one_value_is_not_said_to_have_no_influence() -> None:
    """Another hospital never measured it: these patients cannot tell."""
    matrix, _ = training_data()
    constant = matrix.copy()
    constant[:, 4], constant[:, 5] = np.nan, 1.0
    unused = Probe(needs("age"), INPUT, UCI).unused_fields(constant)
    assert unused == tuple(name for name in UCI.table.names[1:] if name not in UCI.table.names[4:6])


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        ({"model": 1}, "contains a dict, which is not a fitted classifier"),
        (LogisticRegression(), "LogisticRegression without classes_, which is not a fitted"),
        (LinearRegression().fit([[0], [1]], [0, 1]), "LinearRegression without predict_proba"),
        (LinearSVC().fit([[0], [1]], [0, 1]), "LinearSVC without predict_proba, .* CalibratedClassifierCV"),
    ],
    ids=["dict", "unfitted", "regression", "margin"],
)
def test_what_is_not_a_fitted_classifier_of_probabilities_is_refused(thing: object, reason: str) -> None:
    """Named, with what would help."""
    with pytest.raises(ArtifactError, match=reason):
        open_estimator(pickled(thing))


def test_another_version_of_scikit_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both versions are in the error: it might compute something else."""
    fitted = HistGradientBoostingClassifier(max_iter=2).fit([[0.0], [1.0]] * 30, [0, 1] * 30)
    monkeypatch.setattr("sklearn.base.__version__", "1.2.2")
    content = pickled(fitted)
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match=r"written by scikit-learn 1\.2\.2, and .* is installed"):
        open_estimator(content)


def test_what_is_not_a_pickle_is_refused() -> None:
    """With the kind of the error."""
    with pytest.raises(ArtifactError, match="cannot be opened"):
        open_estimator(b"age,sex\n63,1\n")


def test_a_pipeline_is_described_by_its_steps() -> None:
    """For the card."""
    assert describe(make_pipeline(StandardScaler(), LogisticRegression())) == (
        "Pipeline of StandardScaler, LogisticRegression"
    )
