"""Fast engines reproduce scikit-learn's risks."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.engines import Engine, LinearEngine, SklearnEngine, TreeEngine
from scoring.features import Matrix
from scoring.model_artifact import Artifact
from scoring.portable_model import Linear
from scoring.reference_cases import reference_cases
from tests.support.models import (
    engine_of,
    every_missing_pattern,
    plain_of,
    random_rows,
    reference,
    training_data,
    with_plain,
)
from tests.support.uci import FEATURE_NAMES, FEATURES, UCI, patterns_of

INPUTS = {
    "reference": reference_cases(UCI.table),
    "random": random_rows(2000),
    "every-missing-pattern": every_missing_pattern(),
    "training": training_data()[0],
}
each_input = pytest.mark.parametrize("matrix", INPUTS.values(), ids=INPUTS)


each_tree = pytest.mark.parametrize("fixture", ["forest_artifact", "boosted_artifact"])
each_linear = pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact"])


def linear_engine(artifact: Artifact) -> LinearEngine:
    plain = plain_of(artifact)
    assert plain.linear is not None
    return LinearEngine(plain.plan, plain.center, plain.linear, UCI)


def tree_engine(artifact: Artifact) -> TreeEngine:
    assert artifact.onnx is not None
    plain = plain_of(artifact)
    return TreeEngine(plain.plan, plain.center, artifact.onnx)


@each_linear
@each_input
def test_linear_engine_reproduces_scikit_learns_risks(
    fixture: str, matrix: Matrix, request: pytest.FixtureRequest
) -> None:
    """Sums over the fields equal the risks of the whole pipeline within 1e-12."""
    artifact = request.getfixturevalue(fixture)
    difference = linear_engine(artifact).explain(matrix).risks - reference(artifact, matrix)
    assert np.abs(difference).max() <= 1e-12


@each_linear
@each_input
def test_contributions_of_codes_are_the_same_to_the_bit_however_they_are_computed(
    fixture: str, matrix: Matrix, request: pytest.FixtureRequest
) -> None:
    """From a table made beforehand, or, where that would be too large, from the columns of each record."""
    engine = linear_engine(request.getfixturevalue(fixture))
    assert engine._codes is not None
    found = engine.explain(matrix)
    engine._codes = None
    expected = engine.explain(matrix)
    for ours, theirs in zip(msgspec.structs.astuple(found), msgspec.structs.astuple(expected), strict=True):
        assert ours.tobytes() == theirs.tobytes()


@each_tree
@each_input
def test_tree_engine_reproduces_scikit_learns_risks(
    fixture: str, matrix: Matrix, request: pytest.FixtureRequest
) -> None:
    """Risks of the compiled trees equal those of the fitted ones within 1e-6, whatever is missing."""
    artifact = request.getfixturevalue(fixture)
    difference = tree_engine(artifact).explain(matrix).risks - reference(artifact, matrix)
    assert np.abs(difference).max() <= 1e-6


@each_input
def test_sklearn_engine_is_scikit_learn(linear_artifact: Artifact, matrix: Matrix) -> None:
    """The fallback engine is the pipeline as trained, to the last bit."""
    np.testing.assert_array_equal(
        reference(linear_artifact, matrix), SklearnEngine(linear_artifact).explain(matrix).risks
    )


@each_input
def test_preprocessing_tables_equal_the_preprocessor(linear_artifact: Artifact, matrix: Matrix) -> None:
    """The tables reproduce the preprocessor's output, except for rounding."""
    expected = linear_artifact.fitted().preprocessor.transform(matrix)
    np.testing.assert_allclose(plain_of(linear_artifact).plan.transform(matrix), expected, rtol=0, atol=1e-12)


def test_missing_code_counts_as_the_average_patient(linear_artifact: Artifact) -> None:
    """A missing thal contributes the average of the training rows that have it, not the value of "normal"."""
    matrix, _ = training_data()
    thal = FEATURE_NAMES.index("thal")
    known = matrix[~np.isnan(matrix[:, thal])]
    unknown = known.copy()
    unknown[:, thal] = np.nan
    engine = linear_engine(linear_artifact)
    expected = contributions(engine, known).sum(axis=1).mean()
    assert expected == pytest.approx(contributions(engine, unknown).sum(axis=1).mean(), abs=1e-9)


@each_linear
@each_input
def test_contributions_sum_to_the_log_odds(fixture: str, matrix: Matrix, request: pytest.FixtureRequest) -> None:
    """The contributions plus the average training patient's log-odds equal the decision function."""
    artifact = request.getfixturevalue(fixture)
    fitted, linear = artifact.fitted(), plain_of(artifact).linear
    assert linear is not None
    average = linear.intercepts[patterns_of(matrix) if fixture == "pattern_artifact" else 0]
    expected = fitted.classifier.decision_function(fitted.preprocessor.transform(matrix))
    summed = contributions(linear_engine(artifact), matrix).sum(axis=1) + average
    np.testing.assert_allclose(summed, expected, rtol=0, atol=1e-10)


@each_linear
def test_missing_field_contributes_nothing(fixture: str, request: pytest.FixtureRequest) -> None:
    """A field that was not measured is never a reason."""
    engine, matrix = linear_engine(request.getfixturevalue(fixture)), every_missing_pattern()
    places = [FEATURE_NAMES.index(name) for name in engine.fields]
    assert (contributions(engine, matrix)[np.isnan(matrix[:, places])] == 0).all()


def test_submodel_ignores_the_missing_field(pattern_artifact: Artifact) -> None:
    """A record without thal is scored with different coefficients in every other field."""
    row = random_rows(1)
    gap = row.copy()
    gap[0, FEATURE_NAMES.index("thal")] = np.nan
    engine = linear_engine(pattern_artifact)
    kept = [place for place, name in enumerate(engine.fields) if name != "thal"]
    moved = contributions(engine, row)[0, kept] != contributions(engine, gap)[0, kept]
    assert moved.all()


def test_each_field_has_one_contribution(linear_artifact: Artifact) -> None:
    """Changing one field changes exactly one column of the contributions."""
    engine, row = linear_engine(linear_artifact), random_rows(1)
    before, moved = contributions(engine, row)[0], []
    for j, feature in enumerate(FEATURES):
        low, high = feature.interval
        changed = row.copy()
        changed[0, j] = high if row[0, j] == low else low
        moved.append(np.flatnonzero(contributions(engine, changed)[0] != before).tolist())
    assert sorted(moved) == [[column] for column in range(len(FEATURES))]


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact", "forest_artifact"])
def test_a_row_does_not_depend_on_its_batch(fixture: str, request: pytest.FixtureRequest) -> None:
    """All outputs of a row are the same to the last bit alone and anywhere in a batch of any size."""
    engine, _ = engine_of(request.getfixturevalue(fixture))
    matrix = np.vstack([random_rows(150), every_missing_pattern()[::7]])
    whole = everything(engine, matrix)
    for size in (1, 2, 3, 17, 128):
        pieces = [everything(engine, matrix[start : start + size]) for start in range(0, len(matrix), size)]
        np.testing.assert_array_equal(whole, np.concatenate(pieces))
    np.testing.assert_array_equal(whole[::-1], everything(engine, matrix[::-1]))


def everything(engine: Engine, matrix: Matrix) -> Matrix:
    """Return all numbers that the engine computes, a row for each record."""
    found = engine.explain(matrix)
    parts = [found.risks, found.log_odds, found.contributions]
    return np.column_stack([part for part in parts if part is not None])


def contributions(engine: LinearEngine, matrix: Matrix) -> Matrix:
    found = engine.explain(matrix).contributions
    assert found is not None
    return found


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=22, max_size=22),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_coefficients_survive_serialization_to_the_last_bit(
    linear_artifact: Artifact, coefficients: list[float], intercept: float
) -> None:
    """The engine computes with exactly the float64 values that training found."""
    linear = Linear(np.array([intercept]), np.array([coefficients]))
    read = plain_of(with_plain(linear_artifact, linear=linear)).linear
    assert read is not None
    assert [number.hex() for number in (*coefficients, intercept)] == [
        number.hex() for number in (*read.coefficients[0].tolist(), read.intercepts[0])
    ]
