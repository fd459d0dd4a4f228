"""Training on rows in which nobody measured some fields: these carry no weight, and nothing fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import encode_scores
from schemas.errors import DataError
from schemas.records import WarningCode
from scoring.estimators import new_preprocessor
from scoring.model_artifact import load
from scoring.pipeline import DecodedBatch
from scoring.reference_cases import reference_cases
from scoring.scorer import Scorer
from tests.support.uci import FEATURE_NAMES, UCI
from training.candidates import new_logistic_regression, new_pattern_submodels
from training.data.checks import check_training_rows
from training.data.dataset import SITES, file_name
from training.data.frames import features, read_snapshot, site_rows, target
from training.evaluation.interval_simulation import simulate_interval_coverage
from training.evaluation.label_sets import nested_folds
from training.evaluation.measure_next import evaluate_measure_next
from training.evaluation.repeated_cv import gap_sets
from training.evaluation.uncertainty import measure_uncertainty
from training.export.drift_reference import new_reference
from training.export.model_directory import training_ranges
from training.export.portable_model import new_portable_model
from training.pipeline import TrainingRequest, train

UNMEASURED = ("chol", "fbs", "slope")
"""One on a scale, one of yes and no, one of codes."""
ALL = "all optional"
OUTSIDE = WarningCode.OUT_OF_TRAINING_RANGE


def folder_of(rows: pd.DataFrame, folder: Path) -> Path:
    """Write rows to a file named as UCI's for Cleveland."""
    cells = rows[[*FEATURE_NAMES, "num"]].to_numpy()
    lines = (",".join("?" if np.isnan(cell) else f"{cell:g}" for cell in row) for row in cells)
    (folder / file_name("cleveland")).write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on rows in which three fields are never measured."""
    folder = tmp_path_factory.mktemp("gappy")
    rows = read_snapshot(["cleveland"]).assign(**dict.fromkeys(UNMEASURED, np.nan))
    train(TrainingRequest(folder / "model", folder_of(rows, folder), model_version="1", quick=True))
    return folder / "model"


@pytest.mark.parametrize("name", ["logistic_regression", "pattern_submodels", "random_forest"])
def test_a_field_that_nobody_measured_carries_no_weight(name: str, gappy: Path) -> None:
    """A record with it has the risk of one without it, and a warning; a fast engine scores both."""
    scorer = Scorer.from_directory(gappy, name, window_records=500)
    assert scorer.fallback_reason is None
    matrix = reference_cases(UCI.table)
    without = matrix.copy()
    without[:, [FEATURE_NAMES.index(field) for field in UNMEASURED]] = np.nan
    found = scorer.explain(matrix)
    assert found.risks == pytest.approx(scorer.risks(without), abs=2e-6)
    if found.contributions is not None:
        fields = scorer._engine.fields
        assert not found.contributions[:, [fields.index(field) for field in UNMEASURED]].any()
    batch = DecodedBatch(range(len(matrix)), ["p"] * len(matrix), matrix, {})
    for row, line in zip(matrix, encode_scores(scorer.score(batch).scores), strict=True):
        told = {each["field"] for each in json.loads(line)["warnings"] if each["code"] == OUTSIDE}
        brought = {field for field in UNMEASURED if not np.isnan(row[FEATURE_NAMES.index(field)])}
        assert told >= brought


def test_other_rows_are_not_called_clevelands(gappy: Path, model_dir: Path) -> None:
    """The manifest names the training data."""
    names = [load(folder).manifest.data.name for folder in (gappy, model_dir)]
    assert names == ["processed.cleveland.data", "UCI Heart Disease, Cleveland Clinic"]


def test_drift_of_a_field_that_nobody_measured_is_its_missing_ratio(gappy: Path) -> None:
    """There are no values to compare with."""
    scorer = Scorer.from_directory(gappy, window_records=500)
    matrix = features(read_snapshot(["cleveland"]))
    assert scorer.window is not None
    for batch in np.array_split(matrix, 10):
        scorer.window.add(batch, scorer.risks(batch))
    drift = scorer.window.measure()
    for field in UNMEASURED:
        assert drift.psi[field] is None
        assert drift.missing[field] == -1.0
        assert drift.out_of_range[field] == 1.0
    assert drift.psi["age"] is not None


def test_the_card_has_an_equation_without_it(gappy: Path) -> None:
    """The coefficients of such fields are 0 and no number is NaN, which JSON would write as null."""
    text = load(gappy).cards["application/json"].decode()
    for each in json.loads(text)["equations"]:
        assert isinstance(each["intercept"], float)
        weights = {**each["slopes"], **{f"{field}": max(codes.values()) for field, codes in each["codes"].items()}}
        assert {weights[field] for field in UNMEASURED if field in weights} == {0.0}
        assert all(isinstance(weight, float) for weight in weights.values())


@pytest.mark.parametrize("site", ["va", "hungarian"])
def test_coverage_is_simulated_without_rarely_measured_fields(site: str) -> None:
    """A record is complete without them, and they are not recommended for measurement."""
    rows = site_rows(read_snapshot(), site)
    matrix, labels = features(rows), target(rows)
    found = simulate_interval_coverage(
        new_pattern_submodels(UCI, 1), matrix, labels, UCI, gap_sets(UCI.table), 1, repeats=2
    )
    assert [each.missing_fields for each in found] == [
        "none",
        "chol",
        "exang",
        "chol+slope+ca+thal",
        "exercise+ca+thal",
        ALL,
    ]
    advised = evaluate_measure_next(
        nested_folds(new_pattern_submodels(UCI, 1), matrix, labels, UCI, [1]), matrix, UCI, gap_sets(UCI.table)
    )
    assert [sorted(each.others) for each in advised] == [
        ["exang", "oldpeak", "thalach"],
        ["chol", "exang", "fbs", "oldpeak", "restecg", "thalach", "trestbps"],
    ]
    few = np.isnan(matrix).sum(axis=1) > 3
    assert (
        simulate_interval_coverage(
            new_pattern_submodels(UCI, 1), matrix[few], labels[few], UCI, gap_sets(UCI.table), 1, repeats=2
        )
        == ()
    )


@settings(max_examples=12)
@given(
    site=st.sampled_from(SITES),
    seed=st.integers(0, 2**16),
    rows=st.integers(1, 303),
    empty=st.sets(st.sampled_from(FEATURE_NAMES), max_size=6),
)
def test_any_rows_are_refused_or_train_a_model(site: str, seed: int, rows: int, empty: set[str]) -> None:
    """Real patients in any order and number, without some fields: no other error, no warning, finite numbers."""
    frame = site_rows(read_snapshot(), site)
    frame = frame.sample(min(rows, len(frame)), random_state=seed).reset_index(drop=True)
    frame = frame.assign(**dict.fromkeys(sorted(empty), np.nan))
    try:
        check_training_rows(frame, UCI)
    except DataError:
        return
    matrix, labels = features(frame), target(frame)
    preprocessor = new_preprocessor(UCI.columns).fit(matrix)
    inputs = preprocessor.transform(matrix)
    for new in (new_logistic_regression, new_pattern_submodels):
        classifier = new(UCI, seed).fit(inputs, labels)
        plain = new_portable_model(
            preprocessor,
            classifier,
            measure_uncertainty(classifier, inputs, matrix, labels, UCI, seed, bootstraps=2),
            UCI,
        )
        assert plain is not None
        assert plain.linear is not None
        tables = plain.uncertainty
        measured = [table for table in (tables.reach, tables.sampling_reach, tables.distance) if table is not None]
        for numbers in (plain.reference_risks, plain.center, plain.linear.coefficients, *measured):
            assert np.isfinite(numbers).all()
    reference = new_reference(matrix, UCI.table, {"m": plain.reference_risks[: len(labels)]})
    assert all(histogram.measured.is_valid() for histogram in reference.fields.values())
    assert all(np.isfinite(limits).all() for limits in training_ranges(matrix, UCI.table).values())
