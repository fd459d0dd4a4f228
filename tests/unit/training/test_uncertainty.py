"""Interval and label sets hold what they promise, counted on patients that took no part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scoring.engines import LinearEngine
from scoring.estimators import new_preprocessor
from scoring.logistic import logistic
from scoring.patterns import PATTERNS, pattern_masks
from scoring.plain import Linear
from scoring.submodels import PatternSubmodels, centered, fit_logistic, used_columns
from training.data import features, target
from training.estimators import new_logistic_regression, new_pattern_submodels, new_random_forest
from training.plain import plan_of
from training.uncertainty import Uncertainty, label_limits, linear_of, measure, risks_by_pattern, triangles

GAP = [10, 11, 12]
"""slope, ca and thal, which hardly any other hospital has."""


@pytest.fixture(scope="module")
def submodels(cleveland: pd.DataFrame) -> tuple[PatternSubmodels, Uncertainty]:
    """The sub-models, and their uncertainty from 200 bootstrap samples."""
    matrix, labels = features(cleveland), target(cleveland)
    inputs = new_preprocessor().fit_transform(matrix)
    fitted = new_pattern_submodels(1).fit(inputs, labels)
    return fitted, measure(fitted, inputs, matrix, labels, 1, 200)


@pytest.fixture(scope="module")
def unseen(cleveland: pd.DataFrame) -> list[np.ndarray]:
    """Risks of patients under each pattern, from four cross-validations."""
    return [risks_by_pattern(PatternSubmodels(0.3), features(cleveland), target(cleveland), seed) for seed in range(4)]


@pytest.mark.parametrize("missing", [[], GAP], ids=["complete", "slope+ca+thal"])
def test_interval_holds_nine_in_ten_bootstrap_risks(
    missing: list[int], cleveland: pd.DataFrame, submodels: tuple[PatternSubmodels, Uncertainty]
) -> None:
    """Risks from bootstrap samples of another seed lie in the engine's interval in 90% of cases, by 2%."""
    matrix, labels = features(cleveland), target(cleveland)
    preprocessor = new_preprocessor().fit(matrix)
    inputs = preprocessor.transform(matrix)
    fitted, spread = submodels[0], submodels[1].spread
    assert spread is not None
    engine = LinearEngine(plan_of(preprocessor), fitted.center_, Linear(*linear_of(fitted), spread))
    deleted = matrix.copy()
    deleted[:, missing] = np.nan
    found = engine.explain(deleted)
    pattern = int(sum(1 << (field - 3) for field in missing))
    z, used = centered(preprocessor.transform(deleted), fitted.center_), used_columns()[[pattern]]
    chance, inside = np.random.default_rng(2), []
    for _ in range(200):
        counts = np.bincount(chance.integers(0, 303, 303), minlength=303).astype(float)
        moved = fit_logistic(centered(inputs, fitted.center_), labels, used, 1 / fitted.C, counts)
        risks = logistic(moved[0, 0] + z @ moved[0, 1:])
        inside.append((risks >= found.low) & (risks <= found.high))
    assert np.mean(inside) == pytest.approx(0.9, abs=0.02)


def test_triangle_is_a_root_of_the_covariance() -> None:
    """Six digits of a factor give five digits of the covariance back, also where it has no full rank."""
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(4, 3, 23))
    covariances = parts.transpose(0, 2, 1) @ parts
    roots = np.zeros((4, 23, 23))
    rows, columns = np.triu_indices(23)
    roots[:, rows, columns] = triangles(covariances)
    np.testing.assert_allclose(roots.transpose(0, 2, 1) @ roots, covariances, rtol=0, atol=1e-4)


@pytest.mark.parametrize("missing", [[], GAP], ids=["complete", "slope+ca+thal"])
def test_label_sets_hold_the_truth_in_nine_of_ten(
    missing: list[int], cleveland: pd.DataFrame, unseen: list[np.ndarray]
) -> None:
    """Of patients in outer folds, each class has its own label in the set in 87% to 93%."""
    labels = target(cleveland)
    column = int(sum(1 << (field - 3) for field in missing))
    held: list[tuple[int, bool]] = []
    for seed in range(4):
        risks = unseen[seed][:, column]
        half = np.random.default_rng(seed).permutation(len(labels))
        for calibrate, test in ((half[:150], half[150:]), (half[150:], half[:150])):
            ((highest, lowest),) = label_limits(labels[calibrate], risks[calibrate, None])
            held += [
                (int(label), bool(risk >= lowest if label else risk <= highest))
                for label, risk in zip(labels[test], risks[test], strict=True)
            ]
    for label in (0, 1):
        assert np.mean([inside for truth, inside in held if truth == label]) == pytest.approx(0.9, abs=0.03)


def test_risk_by_pattern_is_that_of_the_record_with_the_fields_deleted(cleveland: pd.DataFrame) -> None:
    """A column of the table is what a model of its kind says of unseen patients without those fields."""
    matrix, labels = features(cleveland), target(cleveland)
    for new in (new_logistic_regression, new_pattern_submodels):
        classifier = new(1).fit(new_preprocessor().fit_transform(matrix), labels)
        table = risks_by_pattern(classifier, matrix, labels, 42)
        deleted = matrix.copy()
        deleted[:, pattern_masks()[896]] = np.nan
        np.testing.assert_allclose(
            table[:, 896], expected_risks(new, matrix, deleted, labels), rtol=0, atol=1e-9, err_msg=str(new)
        )


def expected_risks(new, matrix, deleted, labels):  # type: ignore[no-untyped-def]
    """Cross-validate the long way: fit on whole records, ask about deleted ones."""
    from training.evaluate import split  # noqa: PLC0415

    risks = np.empty(len(labels))
    for train, test in split(labels, 42):
        preprocessor = new_preprocessor().fit(matrix[train])
        fitted = new(1).fit(preprocessor.transform(matrix[train]), labels[train])
        risks[test] = fitted.predict_proba(preprocessor.transform(deleted[test]))[:, 1]
    return risks


def test_forest_knows_its_limits_for_complete_records_alone(cleveland: pd.DataFrame) -> None:
    """What was not measured is not a number."""
    matrix, labels = features(cleveland), target(cleveland)
    inputs = new_preprocessor().fit_transform(matrix)
    found = measure(new_random_forest(1).fit(inputs, labels), inputs, matrix, labels, 42, 1)
    assert (found.spread, found.label_limits.shape) == (None, (PATTERNS, 2))
    assert np.isnan(found.label_limits[1:]).all()
    assert ((found.label_limits[0] > 0) & (found.label_limits[0] < 1)).all()
