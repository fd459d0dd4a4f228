"""Fast engines give scikit-learn's risks, and are used only where they do."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from schemas.features import FEATURE_NAMES, FEATURES
from scoring.artifact import Artifact
from scoring.engines import ForestEngine, LinearEngine, SklearnEngine, build_engine, golden_records
from scoring.matrix import Matrix, legal_rows
from scoring.plan import Plan
from tests.unit.scoring.models import (
    OPTIONAL,
    Spoiled,
    every_missing_pattern,
    gives,
    other_forest,
    raises,
    random_rows,
    training_data,
    with_classifier,
)
from training.export import as_onnx

INPUTS = {
    "golden": golden_records(),
    "random": random_rows(2000),
    "every-missing-pattern": every_missing_pattern(),
    "training": training_data()[0],
}
each_input = pytest.mark.parametrize("matrix", INPUTS.values(), ids=INPUTS)


def linear_engine(artifact: Artifact) -> LinearEngine:
    return LinearEngine(Plan.of(artifact.preprocessor), artifact.classifier)


def forest_engine(artifact: Artifact) -> ForestEngine:
    assert artifact.onnx is not None
    return ForestEngine(Plan.of(artifact.preprocessor), artifact.onnx)


def reference(artifact: Artifact, matrix: Matrix) -> Matrix:
    """Return scikit-learn's own risks, (n,)."""
    return artifact.classifier.predict_proba(artifact.preprocessor.transform(matrix))[:, 1]


@each_input
def test_linear_engine_gives_scikit_learns_risks(linear_artifact: Artifact, matrix: Matrix) -> None:
    """One number a field gives the risks of the whole pipeline, within 1e-12."""
    difference = linear_engine(linear_artifact).risks(matrix) - reference(linear_artifact, matrix)
    assert np.abs(difference).max() <= 1e-12


@each_input
def test_forest_engine_gives_scikit_learns_risks(forest_artifact: Artifact, matrix: Matrix) -> None:
    """The compiled forest gives the risks of the fitted one, within 1e-6."""
    difference = forest_engine(forest_artifact).risks(matrix) - reference(forest_artifact, matrix)
    assert np.abs(difference).max() <= 1e-6


@each_input
def test_sklearn_engine_is_scikit_learn(linear_artifact: Artifact, matrix: Matrix) -> None:
    """The engine that others are proved against is the pipeline as trained, to the last bit."""
    np.testing.assert_array_equal(reference(linear_artifact, matrix), SklearnEngine(linear_artifact).risks(matrix))


@each_input
def test_plan_is_the_preprocessor(linear_artifact: Artifact, matrix: Matrix) -> None:
    """The tables give the preprocessor's output, within rounding."""
    expected = linear_artifact.preprocessor.transform(matrix)
    np.testing.assert_allclose(Plan.of(linear_artifact.preprocessor).transform(matrix), expected, rtol=0, atol=1e-12)


def test_missing_code_counts_as_the_average_patient(linear_artifact: Artifact) -> None:
    """A missing thal adds the average log-odds of the training rows that have it, not those of "normal"."""
    matrix, _ = training_data()
    thal = FEATURE_NAMES.index("thal")
    known = matrix[~np.isnan(matrix[:, thal])]
    unknown = known.copy()
    unknown[:, thal] = np.nan
    engine = linear_engine(linear_artifact)
    expected = engine.contributions(known).sum(axis=1).mean()
    assert expected == pytest.approx(engine.contributions(unknown).sum(axis=1).mean(), abs=1e-9)


@each_input
def test_contributions_sum_to_the_log_odds(linear_artifact: Artifact, matrix: Matrix) -> None:
    """The fields' additions and the intercept are the classifier's decision function."""
    expected = linear_artifact.classifier.decision_function(linear_artifact.preprocessor.transform(matrix))
    summed = linear_engine(linear_artifact).contributions(matrix).sum(axis=1) + linear_artifact.classifier.intercept_
    np.testing.assert_allclose(summed, expected, rtol=0, atol=1e-10)


def test_each_field_has_one_contribution(linear_artifact: Artifact) -> None:
    """Changing one field changes one column of the contributions, a column of its own."""
    engine, row = linear_engine(linear_artifact), random_rows(1)
    before, moved = engine.contributions(row)[0], []
    for j, feature in enumerate(FEATURES):
        low, high = feature.interval
        changed = row.copy()
        changed[0, j] = high if row[0, j] == low else low
        moved.append(np.flatnonzero(engine.contributions(changed)[0] != before).tolist())
    assert sorted(moved) == [[column] for column in range(len(FEATURES))]


@pytest.mark.parametrize("name", ["linear", "forest"])
def test_row_does_not_depend_on_the_others(name: str, linear_artifact: Artifact, forest_artifact: Artifact) -> None:
    """A row's risk is the same to the last bit alone, in a batch of any size and at any place in it."""
    engine = linear_engine(linear_artifact) if name == "linear" else forest_engine(forest_artifact)
    matrix = np.vstack([random_rows(150), every_missing_pattern()[::7]])
    whole = engine.risks(matrix)
    for size in (1, 2, 3, 17, 128):
        pieces = [engine.risks(matrix[start : start + size]) for start in range(0, len(matrix), size)]
        np.testing.assert_array_equal(whole, np.concatenate(pieces))
    np.testing.assert_array_equal(whole[::-1], engine.risks(matrix[::-1]))


@pytest.mark.parametrize(("fixture", "name"), [("linear_artifact", "linear"), ("forest_artifact", "onnx")])
def test_sound_artifact_gets_its_fast_engine(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    """What training writes is scored fast, and needs no reason."""
    engine, reason = build_engine(request.getfixturevalue(fixture))
    assert (name, None) == (engine.name, reason)


def test_another_forests_onnx_is_found_out(forest_artifact: Artifact) -> None:
    """An engine that disagrees with scikit-learn is not used, and the reason says by how much."""
    onnx = as_onnx(other_forest(forest_artifact), forest_artifact.classifier.n_features_in_)
    engine, reason = build_engine(msgspec.structs.replace(forest_artifact, onnx=onnx))
    assert engine.name == "sklearn"
    assert reason is not None
    assert reason.startswith("onnx differs from scikit-learn by ")


def test_broken_onnx_is_no_reason_to_stop(forest_artifact: Artifact) -> None:
    """A compiled forest that cannot be opened leaves scikit-learn to score."""
    engine, reason = build_engine(msgspec.structs.replace(forest_artifact, onnx=b"no onnx"))
    assert (engine.name, bool(reason)) == ("sklearn", True)


def test_forest_without_onnx_is_scored_by_scikit_learn(forest_artifact: Artifact) -> None:
    """A forest that was not compiled has no fast engine."""
    engine, reason = build_engine(msgspec.structs.replace(forest_artifact, onnx=None))
    assert (engine.name, reason) == ("sklearn", "TypeError: no fast engine for RandomForestClassifier")


def test_unknown_classifier_is_scored_by_scikit_learn(linear_artifact: Artifact) -> None:
    """A classifier of another kind has no fast engine, and its own risks."""
    matrix, labels = training_data()
    other = GradientBoostingClassifier(n_estimators=3).fit(linear_artifact.preprocessor.transform(matrix), labels)
    artifact = with_classifier(linear_artifact, other)
    engine, reason = build_engine(artifact)
    assert (engine.name, reason) == ("sklearn", "TypeError: no fast engine for GradientBoostingClassifier")
    np.testing.assert_array_equal(reference(artifact, matrix), engine.risks(matrix))


def test_unknown_preprocessor_is_scored_by_scikit_learn(linear_artifact: Artifact) -> None:
    """A preprocessor of another form has no plan, and the reason says so."""
    matrix, labels = training_data()
    complete = matrix[~np.isnan(matrix).any(axis=1)]
    scaler = StandardScaler().fit(complete)
    classifier = LogisticRegression().fit(scaler.transform(complete), labels[~np.isnan(matrix).any(axis=1)])
    with pytest.raises(TypeError, match="the preprocessor is not a ColumnTransformer"):
        Plan.of(scaler)
    artifact = msgspec.structs.replace(linear_artifact, preprocessor=scaler, classifier=classifier)
    assert build_engine(artifact)[0].name == "sklearn"


def test_other_steps_have_no_plan(linear_artifact: Artifact) -> None:
    """A ColumnTransformer with steps of other names is not read as if it were the known one."""
    preprocessor = linear_artifact.preprocessor
    renamed = type(preprocessor)([(f"{name}_2", step, at) for name, step, at in preprocessor.transformers])
    with pytest.raises(TypeError, match="other steps than scaled, binary and one_hot"):
        Plan.of(renamed.fit(training_data()[0]))


@pytest.mark.parametrize("spoil", [raises, gives(float("nan"))], ids=["raises", "nan"])
def test_broken_reference_proves_nothing(linear_artifact: Artifact, spoil: object) -> None:
    """An engine cannot be proved against a classifier that fails: the reason says so, and nothing is raised."""
    engine, reason = build_engine(with_classifier(linear_artifact, Spoiled(linear_artifact.classifier, spoil)))
    assert (engine.name, bool(reason)) == ("sklearn", True)


def test_golden_records_are_legal() -> None:
    """An engine is proved on records that it may meet."""
    assert legal_rows(golden_records()).all()


def test_golden_records_are_the_same_each_time() -> None:
    """What a model makes of them now can be compared with what it made of them when it was loaded."""
    np.testing.assert_array_equal(golden_records(), golden_records())


@pytest.mark.parametrize("j", range(len(FEATURES)), ids=FEATURE_NAMES)
def test_golden_records_hold_the_limits_and_all_codes(j: int) -> None:
    """Both limits of each quantity and each code of each field are proved."""
    feature = FEATURES[j]
    wanted = {float(code) for code, _ in feature.codes} or set(feature.interval)
    assert wanted <= set(golden_records()[:, j].tolist())


def test_golden_records_lack_each_field_that_may_be_missing() -> None:
    """Each optional field is missing in some golden record and there in another; required ones always are there."""
    missing = np.isnan(golden_records()).mean(axis=0)
    assert [j in OPTIONAL for j in range(len(FEATURES))] == [0 < share < 1 for share in missing.tolist()]
