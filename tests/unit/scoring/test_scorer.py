"""A score has the risk, the label by the threshold, and warnings of what to doubt."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode_score
from schemas.records import Score, ScoreWarning, WarningCode
from scoring.features import Matrix
from scoring.model_artifact import Artifact
from scoring.scorer import Scorer
from tests.support.models import OPTIONAL, as_values, every_missing_pattern, random_rows, reference, with_manifest
from tests.support.outcomes import Scored, process
from tests.support.record_strategies import legal_records
from tests.support.uci import FEATURE_NAMES, FEATURES, PatientRecord, as_matrix, blank_missing, patterns_of

each_feature = pytest.mark.parametrize("j", range(len(FEATURES)), ids=FEATURE_NAMES)
TYPICAL = [54.0, 1.0, 3.0, 130.0, 246.0, 0.0, 1.0, 150.0, 0.0, 1.0, 2.0, 0.0, 3.0]
CLEVELAND = {
    "age": (29, 77), "sex": (0, 1), "cp": (1, 4), "trestbps": (94, 200), "chol": (126, 564), "fbs": (0, 1),
    "restecg": (0, 2), "thalach": (71, 202), "exang": (0, 1), "oldpeak": (0, 6.2), "slope": (1, 3), "ca": (0, 3),
    "thal": (3, 7),
}  # fmt: skip
"""Smallest and largest value of each field in the training rows, as published."""


def scores_of(rows: Matrix, scorer: Scorer) -> list[Score]:
    """Score valid rows (n, 13) as every interface does."""
    values = as_values(rows)
    return [decode_score(o.value) for o in process(values, [None] * len(values), scorer) if isinstance(o, Scored)]


def doubts_of(row: list[float], scorer: Scorer) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Return the missing fields of a row's (13,) score, and its warnings as code and field."""
    (score,) = scores_of(np.array([row]), scorer)
    return score.missing, [(warning.code.value, warning.field) for warning in score.warnings]


def fields_missing(row: Matrix) -> tuple[str, ...]:
    return tuple(name for name, number in zip(FEATURE_NAMES, row, strict=True) if math.isnan(number))


def fields_outside(row: Matrix) -> tuple[str, ...]:
    ends = zip(CLEVELAND.items(), row, strict=True)
    return tuple(name for (name, (low, high)), number in ends if number < low or number > high)


def changed(j: int, value: float) -> list[float]:
    return [value if i == j else number for i, number in enumerate(TYPICAL)]


def test_typical_record_has_no_warnings(scorer: Scorer) -> None:
    """A complete record within the training ranges has no missing fields and no warnings."""
    assert doubts_of(TYPICAL, scorer) == ((), [])


@pytest.mark.parametrize("j", OPTIONAL, ids=[FEATURE_NAMES[j] for j in OPTIONAL])
def test_missing_field_is_reported_as_missing_and_imputed(j: int, scorer: Scorer) -> None:
    """Once each, and no other field is."""
    name = FEATURE_NAMES[j]
    assert ((name,), [("imputed", name)]) == doubts_of(changed(j, math.nan), scorer)


@each_feature
def test_training_range_is_exact(j: int, scorer: Scorer) -> None:
    """The smallest and largest training value have no warning; the next valid value beyond has one."""
    name, step = FEATURE_NAMES[j], 1 if FEATURES[j].whole else 0.1
    low, high = FEATURES[j].interval
    lowest, highest = CLEVELAND[name]
    expected = [
        (value, value < lowest or value > highest) for value in (lowest, highest, lowest - step, highest + step)
    ]
    legal = [(value, outside) for value, outside in expected if low <= value <= high]
    doubts = [((), [("out_of_training_range", name)] if outside else []) for _, outside in legal]
    assert doubts == [doubts_of(changed(j, value), scorer) for value, _ in legal]


@given(value=legal_records())
def test_warnings_are_exactly_those_of_the_record(scorer: Scorer, value: bytes) -> None:
    """Imputed fields in the table's order, then the fields outside the training range."""
    matrix = as_matrix([msgspec.json.decode(value, type=PatientRecord)])
    blank_missing(matrix)
    missing, outside = fields_missing(matrix[0]), fields_outside(matrix[0])
    warnings = [ScoreWarning(WarningCode.IMPUTED, name) for name in missing]
    warnings += [ScoreWarning(WarningCode.OUT_OF_TRAINING_RANGE, name) for name in outside]
    (outcome,) = process([value], [None], scorer)
    assert isinstance(outcome, Scored)
    score = decode_score(outcome.value)
    assert (missing, tuple(warnings)) == (score.missing, score.warnings)


def test_warnings_stay_right_when_their_cache_is_full(linear_artifact: Artifact) -> None:
    """More kinds of records than the cache holds (4,096) still have their own warnings."""
    rows = np.vstack([every_missing_pattern(seed) for seed in range(6)])
    expected = [(fields_missing(row), fields_outside(row)) for row in rows]
    assert len(set(expected)) > 4096
    for label in (0, 1):
        assert expected == [
            doubts(metadata[label]) for metadata in Scorer(linear_artifact)._details.metadata(rows, patterns_of(rows))
        ]


def doubts(metadata: msgspec.Raw) -> tuple[tuple[str, ...], tuple[str, ...]]:
    decoded = msgspec.json.decode(b'{"label":%s}' % bytes(metadata), type=Doubts)
    outside = [each.field for each in decoded.warnings if each.code is WarningCode.OUT_OF_TRAINING_RANGE]
    return decoded.missing, tuple(outside)


class Doubts(msgspec.Struct):
    missing: tuple[str, ...]
    warnings: tuple[ScoreWarning, ...]


@pytest.mark.parametrize("model", ["scorer", "forest_scorer"])
def test_risk_is_a_probability_of_six_decimals(model: str, request: pytest.FixtureRequest) -> None:
    """Risks are between 0 and 1 with at most six decimals."""
    rows = np.vstack([random_rows(500), every_missing_pattern()])
    risks = [score.risk for score in scores_of(rows, request.getfixturevalue(model))]
    assert len(rows) == len(risks)
    assert [(risk, True) for risk in risks] == [(round(risk, 6), 0 <= risk <= 1) for risk in risks]


@pytest.mark.parametrize("model", ["scorer", "forest_scorer"])
def test_label_follows_risk_and_threshold(model: str, request: pytest.FixtureRequest) -> None:
    """The label is 1 if and only if the printed risk is at or above the printed threshold."""
    scores = scores_of(random_rows(500), request.getfixturevalue(model))
    assert {0, 1} == {score.label for score in scores}
    assert [int(score.risk >= score.threshold) for score in scores] == [score.label for score in scores]


def test_risk_at_the_threshold_is_labelled_one(linear_artifact: Artifact) -> None:
    """To the last printed decimal."""
    row = np.array([TYPICAL])
    risk = Scorer(linear_artifact).risks(row).item()
    thresholds = [risk, round(risk + 1e-6, 6), round(risk - 1e-6, 6)]
    scores = [scores_of(row, Scorer(with_manifest(linear_artifact, threshold=t)))[0] for t in thresholds]
    assert [(risk, t, label) for t, label in zip(thresholds, (1, 0, 1), strict=True)] == [
        (score.risk, score.threshold, score.label) for score in scores
    ]


@pytest.mark.parametrize("model", ["scorer", "forest_scorer"])
def test_risk_equals_scikit_learns(model: str, request: pytest.FixtureRequest) -> None:
    """The risk is that of the fitted pipeline, rounded to six decimals."""
    artifact = request.getfixturevalue({"scorer": "linear_artifact", "forest_scorer": "forest_artifact"}[model])
    rows = random_rows(300)
    actual = [score.risk for score in scores_of(rows, request.getfixturevalue(model))]
    np.testing.assert_allclose(actual, reference(artifact, rows), rtol=0, atol=1.5e-6)


def test_score_names_its_model(scorer: Scorer, forest_scorer: Scorer) -> None:
    """Two models of one directory differ in name and share version and digest."""
    (linear,), (forest,) = (scores_of(np.array([TYPICAL]), each) for each in (scorer, forest_scorer))
    assert [(score.model.name, score.model.version) for score in (linear, forest)] == [
        ("logistic_regression", "test"),
        ("random_forest", "test"),
    ]
    assert linear.model.digest == forest.model.digest


def test_trained_models_are_scored_by_fast_engines(scorer: Scorer, forest_scorer: Scorer) -> None:
    """No model that training writes needs scikit-learn."""
    assert [(s.engine, s.fallback_reason) for s in (scorer, forest_scorer)] == [("linear", None), ("onnx", None)]


@given(st.permutations(range(40)))
def test_risks_keep_the_order_of_the_rows(scorer: Scorer, order: list[int]) -> None:
    """Rows in another order have the same risks in that order."""
    rows = random_rows(40)
    np.testing.assert_array_equal(scorer.risks(rows)[order], scorer.risks(rows[order]))
