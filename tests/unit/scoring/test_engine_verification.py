"""A fast engine is used only if it reproduces scikit-learn's reference risks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from scoring.features import Matrix
from scoring.model_artifact import Artifact
from tests.support.models import (
    engine_of,
    other_forest,
    plain_of,
    random_rows,
    reference,
    training_data,
    with_classifier,
    with_plain,
)
from training.export.compiled_trees import as_onnx


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
    matrix = random_rows(2000)
    np.testing.assert_array_equal(reference(artifact, matrix), engine.explain(matrix).risks)
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


INVALID_REFERENCE_RISKS = {
    "no risks": {"reference_risks": np.empty(0)},
    "one for all": {"reference_risks": np.full(1, 0.5)},
    "too few": {"reference_risks": np.full(1023, 0.5)},
    "not numbers": {"reference_risks": np.array(["risk"] * 1024)},
    "other records": {"reference_cases_sha256": "0" * 64},
}


@pytest.mark.parametrize("changes", INVALID_REFERENCE_RISKS.values(), ids=INVALID_REFERENCE_RISKS)
def test_engine_without_valid_reference_risks_is_not_used(linear_artifact: Artifact, changes: dict[str, Any]) -> None:
    """Reference risks of other cases verify nothing."""
    engine, reason = engine_of(with_plain(linear_artifact, **changes))
    assert (engine.name, bool(reason)) == ("sklearn", True)


def spoiled(table: Matrix, value: float, *places: int | slice) -> Matrix:
    found = table.copy()
    found[places] = value
    return found


INVALID_UNCERTAINTY_TABLES = {
    "all-null reach": ("reach", lambda table: spoiled(table, np.nan, slice(None))),
    "one gap in reach": ("reach", lambda table: spoiled(table, np.nan, 5, 2, 1)),
    "negative reach": ("reach", lambda table: -table),
    "all-null sampling reach": ("sampling_reach", lambda table: spoiled(table, np.nan, slice(None))),
    "infinite distance": ("distance", lambda table: spoiled(table, np.inf, 7)),
    "no limits": ("label_limits", lambda table: spoiled(table, np.nan, slice(None))),
    "half a limit": ("label_limits", lambda table: spoiled(table, np.nan, 0, 0, 1)),
    "limits outside 0 to 1": ("label_limits", lambda table: table + 1),
    "no coverage": ("label_coverage", lambda table: spoiled(table, np.nan, slice(None))),
}


@pytest.mark.parametrize(("name", "spoil"), INVALID_UNCERTAINTY_TABLES.values(), ids=INVALID_UNCERTAINTY_TABLES)
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
    assert (engine.name, reason) == ("sklearn", "the trees are not compiled")


def test_unknown_classifier_is_scored_by_scikit_learn(linear_artifact: Artifact) -> None:
    """A classifier of another kind has no fast engine, and keeps its own risks."""
    matrix, labels = training_data()
    inputs = linear_artifact.fitted().preprocessor.transform(matrix)
    artifact = with_classifier(linear_artifact, HistGradientBoostingClassifier(max_iter=3).fit(inputs, labels))
    engine, reason = engine_of(artifact)
    assert (engine.name, reason) == ("sklearn", "there is no portable model for this kind of classifier")
    np.testing.assert_array_equal(reference(artifact, matrix), engine.explain(matrix).risks)
