"""Fast engines reproduce scikit-learn's risks and are used only if they do."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from schemas.features import FEATURE_NAMES, FEATURES
from scoring.engines import Engine, ForestEngine, LinearEngine, SklearnEngine, build_engine
from scoring.features import Matrix
from scoring.logistic import logistic
from scoring.missingness import patterns_of
from scoring.model_artifact import Artifact
from scoring.portable_model import Linear
from scoring.reference_cases import reference_cases
from tests.support.models import (
    every_missing_pattern,
    other_forest,
    plain_of,
    random_rows,
    reference,
    training_data,
    with_classifier,
    with_plain,
)
from training.export.model_directory import as_onnx

INPUTS = {
    "reference": reference_cases(),
    "random": random_rows(2000),
    "every-missing-pattern": every_missing_pattern(),
    "training": training_data()[0],
}
each_input = pytest.mark.parametrize("matrix", INPUTS.values(), ids=INPUTS)


each_linear = pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact"])


def linear_engine(artifact: Artifact) -> LinearEngine:
    plain = plain_of(artifact)
    assert plain.linear is not None
    return LinearEngine(plain.plan, plain.center, plain.linear)


def forest_engine(artifact: Artifact) -> ForestEngine:
    assert artifact.onnx is not None
    plain = plain_of(artifact)
    return ForestEngine(plain.plan, plain.center, artifact.onnx)


def engine_of(artifact: Artifact) -> tuple[Engine, str | None]:
    prepared = build_engine(artifact)
    return prepared.engine, prepared.fallback_reason


@each_linear
@each_input
def test_linear_engine_reproduces_scikit_learns_risks(
    fixture: str, matrix: Matrix, request: pytest.FixtureRequest
) -> None:
    """Sums over the fields equal the risks of the whole pipeline within 1e-12."""
    artifact = request.getfixturevalue(fixture)
    difference = linear_engine(artifact).explain(matrix).risks - reference(artifact, matrix)
    assert np.abs(difference).max() <= 1e-12


@each_input
def test_forest_engine_reproduces_scikit_learns_risks(forest_artifact: Artifact, matrix: Matrix) -> None:
    """The compiled forest's risks equal those of the fitted one within 1e-6."""
    difference = forest_engine(forest_artifact).explain(matrix).risks - reference(forest_artifact, matrix)
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


@pytest.mark.parametrize(
    ("fixture", "name"),
    [("linear_artifact", "linear"), ("pattern_artifact", "linear"), ("forest_artifact", "onnx")],
)
def test_valid_artifact_gets_its_fast_engine(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    """Models that training writes are scored by the fast engine, without a fallback reason."""
    engine, reason = engine_of(request.getfixturevalue(fixture))
    assert (name, None) == (engine.name, reason)


def test_onnx_of_another_forest_is_detected(forest_artifact: Artifact) -> None:
    """An engine that disagrees with scikit-learn is not used, and the reason states the difference."""
    onnx = as_onnx(other_forest(forest_artifact), forest_artifact.fitted().classifier["classify"].n_features_in_)
    engine, reason = engine_of(msgspec.structs.replace(forest_artifact, onnx=onnx))
    assert engine.name == "sklearn"
    assert reason is not None
    assert reason.startswith("onnx differs from scikit-learn by ")


@pytest.mark.parametrize(("fixture", "beyond"), [("linear_artifact", 2e-12), ("forest_artifact", 2e-6)])
def test_one_wrong_risk_is_detected(fixture: str, beyond: float, request: pytest.FixtureRequest) -> None:
    """If one reference risk is off by more than the tolerance, scikit-learn scores instead."""
    artifact = request.getfixturevalue(fixture)
    risks = plain_of(artifact).reference_risks.copy()
    risks[500] += beyond
    engine, reason = engine_of(with_plain(artifact, reference_risks=risks))
    np.testing.assert_array_equal(reference(artifact, INPUTS["random"]), engine.explain(INPUTS["random"]).risks)
    assert reason is not None
    assert "differs from scikit-learn by 2." in reason


@pytest.mark.parametrize("name", ["slope", "intercept"])
def test_wrong_coefficient_is_detected(name: str, linear_artifact: Artifact) -> None:
    """A portable model whose numbers are not the trained ones does not reproduce the reference risks."""
    linear = plain_of(linear_artifact).linear
    assert linear is not None
    wrong = {
        "slope": msgspec.structs.replace(linear, coefficients=linear.coefficients * (1 + 1e-9)),
        "intercept": msgspec.structs.replace(linear, intercepts=linear.intercepts + 1e-10),
    }
    engine, reason = engine_of(with_plain(linear_artifact, linear=wrong[name]))
    assert (engine.name, str(reason)[:33]) == ("sklearn", "linear differs from scikit-learn ")


NO_PROOF = {
    "no risks": {"reference_risks": np.empty(0)},
    "one for all": {"reference_risks": np.full(1, 0.5)},
    "too few": {"reference_risks": np.full(1023, 0.5)},
    "not numbers": {"reference_risks": np.array(["risk"] * 1024)},
    "other records": {"reference_cases_sha256": "0" * 64},
}


@pytest.mark.parametrize("changes", NO_PROOF.values(), ids=NO_PROOF)
def test_engine_without_valid_reference_risks_is_not_used(linear_artifact: Artifact, changes: dict[str, Any]) -> None:
    """Reference risks of other cases verify nothing."""
    engine, reason = engine_of(with_plain(linear_artifact, **changes))
    assert (engine.name, bool(reason)) == ("sklearn", True)


def spoiled(table: Matrix, value: float, *places: int | slice) -> Matrix:
    found = table.copy()
    found[places] = value
    return found


NO_TABLES = {
    "all-null reach": ("reach", lambda table: spoiled(table, np.nan, slice(None))),
    "one gap in reach": ("reach", lambda table: spoiled(table, np.nan, 5, 2, 1)),
    "negative reach": ("reach", lambda table: -table),
    "all-null sampling reach": ("sampling_reach", lambda table: spoiled(table, np.nan, slice(None))),
    "infinite distance": ("distance", lambda table: spoiled(table, np.inf, 7)),
    "no limits": ("label_limits", lambda table: spoiled(table, np.nan, slice(None))),
    "half a limit": ("label_limits", lambda table: spoiled(table, np.nan, 0, 0, 1)),
    "limits that are no risks": ("label_limits", lambda table: table + 1),
    "no coverage": ("label_coverage", lambda table: spoiled(table, np.nan, slice(None))),
}


@pytest.mark.parametrize(("name", "spoil"), NO_TABLES.values(), ids=NO_TABLES)
def test_implausible_uncertainty_tables_are_not_used(
    linear_artifact: Artifact, name: str, spoil: Callable[[Matrix], Matrix]
) -> None:
    """Correct risks do not verify intervals and label sets: invalid tables would make them null or too certain."""
    tables = plain_of(linear_artifact).uncertainty
    changed = msgspec.structs.replace(tables, **{name: spoil(getattr(tables, name))})
    engine, reason = engine_of(with_plain(linear_artifact, uncertainty=changed))
    assert (engine.name, name in str(reason)) == ("sklearn", True)


@pytest.mark.parametrize("plain", [b"", b"{}", b"[]", b"no JSON"])
def test_unreadable_portable_model_falls_back_to_scikit_learn(linear_artifact: Artifact, plain: bytes) -> None:
    """The reason is reported."""
    engine, reason = engine_of(msgspec.structs.replace(linear_artifact, plain=plain))
    assert (engine.name, bool(reason)) == ("sklearn", True)


def test_unreadable_onnx_falls_back_to_scikit_learn(forest_artifact: Artifact) -> None:
    """The reason is reported."""
    engine, reason = engine_of(msgspec.structs.replace(forest_artifact, onnx=b"no onnx"))
    assert (engine.name, bool(reason)) == ("sklearn", True)


def test_forest_without_onnx_is_scored_by_scikit_learn(forest_artifact: Artifact) -> None:
    """A forest that was not compiled has no fast engine."""
    engine, reason = engine_of(msgspec.structs.replace(forest_artifact, onnx=None))
    assert (engine.name, reason) == ("sklearn", "the forest is not compiled")


def test_unknown_classifier_is_scored_by_scikit_learn(linear_artifact: Artifact) -> None:
    """A classifier of another kind has no fast engine, and keeps its own risks."""
    matrix, labels = training_data()
    inputs = linear_artifact.fitted().preprocessor.transform(matrix)
    artifact = with_classifier(linear_artifact, HistGradientBoostingClassifier(max_iter=3).fit(inputs, labels))
    engine, reason = engine_of(artifact)
    assert (engine.name, reason) == ("sklearn", "training exported no portable model for this kind of classifier")
    np.testing.assert_array_equal(reference(artifact, matrix), engine.explain(matrix).risks)


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


def test_logistic_is_accurate() -> None:
    """Within two units in the last place of 1 / (1 + exp(-x)) at 50 digits; exactly 0 and 1 far out."""
    log_odds = np.concatenate([np.linspace(-40, 40, 2001), [-745.0, 745.0, -1e308, 1e308, 0.0, -0.0]])
    with localcontext(prec=50):
        expected = [float(1 / (1 + (-Decimal(x)).exp())) if abs(x) < 1e4 else float(x > 0) for x in log_odds.tolist()]
    np.testing.assert_array_max_ulp(logistic(log_odds), np.array(expected), maxulp=2)


@given(st.integers(0, 2**32), st.integers(1, 70), st.integers(0, 9))
def test_logistic_does_not_depend_on_the_batch(seed: int, length: int, start: int) -> None:
    """A value has the same bits alone and in any batch at any address, although numpy computes in blocks."""
    log_odds = np.random.default_rng(seed).normal(0, 8, 80)
    expected = np.array([logistic(log_odds[i : i + 1].copy())[0] for i in range(start, start + length)])
    np.testing.assert_array_equal(expected, logistic(log_odds[start : start + length]))
