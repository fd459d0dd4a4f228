"""The sub-models are the logistic regressions that scikit-learn fits without the fields of their pattern."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from scoring.estimators import new_preprocessor
from scoring.features import Matrix
from scoring.submodels import PatternSubmodels, centered, fit_logistic
from tests.support.models import every_missing_pattern, training_data
from tests.support.uci import PATTERNS, UCI, pattern_masks, patterns_of

CLOSE = 1e-8


def inputs() -> Matrix:
    matrix, _ = training_data()
    return new_preprocessor(UCI.columns).fit(matrix).transform(matrix)


@pytest.fixture(scope="module")
def fitted() -> PatternSubmodels:
    return PatternSubmodels(UCI.pattern_columns, C=0.3).fit(inputs(), training_data()[1])


@pytest.mark.parametrize("pattern", [0, 1, 7, 512, 896, 1000, PATTERNS - 1])
def test_submodel_is_the_regression_without_the_missing_fields(pattern: int, fitted: PatternSubmodels) -> None:
    """Its coefficients are those of scikit-learn on the remaining columns; the others are 0."""
    x, y = inputs(), training_data()[1]
    used = ~pattern_masks()[pattern][list(UCI.columns.field_of)]
    alone = LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    alone.fit(centered(x, np.nanmean(x, axis=0))[:, used], y)
    np.testing.assert_allclose(fitted.coef_[pattern, used], alone.coef_[0], rtol=0, atol=CLOSE)
    assert fitted.intercept_[pattern] == pytest.approx(alone.intercept_[0], abs=CLOSE)
    assert (fitted.coef_[pattern, ~used] == 0).all()


def test_values_of_a_removed_field_do_not_matter(fitted: PatternSubmodels) -> None:
    """Two patients who differ only in removed fields have one risk."""
    x = inputs()[:50]
    gaps = np.isin(UCI.columns.field_of, [11, 12])
    one, other = x.copy(), x.copy()
    other[:, gaps] = x[::-1][:, gaps]
    one[:, gaps] = other[:, gaps] = np.nan
    np.testing.assert_array_equal(fitted.predict_proba(one), fitted.predict_proba(other))


def test_columns_identify_the_pattern_of_the_record() -> None:
    """The pattern survives the preprocessor."""
    rows = every_missing_pattern()
    columns = new_preprocessor(UCI.columns).fit(training_data()[0]).transform(rows)
    np.testing.assert_array_equal(patterns_of(rows), UCI.pattern_columns.patterns_of(columns))


def test_weights_equal_repeated_rows() -> None:
    """The weights of a bootstrap sample give the model of the sample itself."""
    x, y = centered(inputs(), np.nanmean(inputs(), axis=0)), training_data()[1]
    drawn = np.random.default_rng(3).integers(0, len(y), len(y))
    used = UCI.pattern_columns.used[::100]
    weighted = fit_logistic(x, y, used, 2.0, np.bincount(drawn, minlength=len(y)).astype(float))
    np.testing.assert_allclose(weighted, fit_logistic(x[drawn], y[drawn], used, 2.0), rtol=0, atol=CLOSE)


def test_the_start_does_not_change_the_solution(fitted: PatternSubmodels) -> None:
    """From any initial coefficients the same ones are found."""
    x, y = inputs(), training_data()[1]
    z, start = centered(x, fitted.center_), np.random.default_rng(1).normal(0, 0.5, (PATTERNS, 23))
    start[:, 1:] *= UCI.pattern_columns.used
    found = fit_logistic(z, y, UCI.pattern_columns.used, 1 / 0.3, None, start)
    np.testing.assert_allclose(found[:, 1:], fitted.coef_, rtol=0, atol=CLOSE)


def test_overflowing_rows_raise() -> None:
    """Numbers that overflow end in an error, not in coefficients."""
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        fit_logistic(np.full((4, 22), np.inf), np.array([0, 1, 0, 1]), UCI.pattern_columns.used, 1.0)


def test_it_is_a_scikit_learn_estimator(fitted: PatternSubmodels) -> None:
    """It can be cloned, and the probabilities of both classes add up to 1."""
    assert clone(fitted).get_params()["C"] == 0.3
    probabilities = fitted.predict_proba(inputs())
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(fitted.predict(inputs()), (probabilities[:, 1] > 0.5).astype(int))
