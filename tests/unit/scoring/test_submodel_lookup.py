"""A record whose missing pattern has no fitted sub-model gets a derived one."""

from __future__ import annotations

import numpy as np
import pytest

from scoring.features import Matrix
from scoring.logistic import logistic
from scoring.missingness import MissingPatterns, PatternColumns
from scoring.submodel_lookup import SubmodelLookup, covariance_of, derived
from tests.support.other_tables import table

RNG = np.random.default_rng(5)
COLUMNS = 30
FACTOR = RNG.normal(size=(COLUMNS, 5)) / np.sqrt(5)
COVARIANCE = FACTOR @ FACTOR.T + 0.5 * np.eye(COLUMNS)
COEFFICIENTS = RNG.normal(size=COLUMNS) * 0.7
INTERCEPT = -0.4


def drawn(count: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).multivariate_normal(np.zeros(COLUMNS), COVARIANCE, count)


@pytest.mark.parametrize("missing", [1, 5, 15, 29])
def test_a_derived_risk_is_the_mean_risk_of_patients_with_the_same_measurements(missing: int) -> None:
    """The complete model's risks, averaged over what was not measured, by simulation of normal columns."""
    measured = np.ones(COLUMNS, dtype=bool)
    measured[RNG.choice(COLUMNS, missing, replace=False)] = False
    intercept, coefficients = derived(INTERCEPT, COEFFICIENTS, COVARIANCE, measured)
    assert (coefficients[~measured] == 0).all()
    known, gone = np.flatnonzero(measured), np.flatnonzero(~measured)
    slopes = np.linalg.solve(COVARIANCE[np.ix_(known, known)], COVARIANCE[np.ix_(known, gone)])
    patients, spread = drawn(40, 6), drawn(20_000, 7)
    rest = spread[:, gone] - spread[:, known] @ slopes
    for patient in patients:
        everything = np.repeat(patient[None], len(rest), axis=0)
        everything[:, gone] = patient[known] @ slopes + rest
        simulated = logistic(INTERCEPT + everything @ COEFFICIENTS).mean()
        assert logistic(intercept + patient @ coefficients) == pytest.approx(simulated, abs=0.03)


def test_listed_patterns_are_fitted_and_others_derived() -> None:
    """Each record has the sub-model of its own pattern, whatever the other records of its batch lack."""
    patterns = MissingPatterns(table("wdbc"), [1, 6])
    columns = PatternColumns(patterns, range(COLUMNS))
    fitted = RNG.normal(size=(patterns.count, 1 + COLUMNS))
    lookup = SubmodelLookup(fitted[:, 0], fitted[:, 1:], COVARIANCE, columns)
    batch = np.array([6, 2**30 - 1, 0, 7, 1, 7])
    intercepts, coefficients = lookup.of(batch)
    for row, pattern in enumerate(batch.tolist()):
        alone, of_alone = lookup.of(np.array([pattern]))
        assert (alone[0], of_alone[0].tolist()) == (intercepts[row], coefficients[row].tolist())
    for row, place in ((0, 2), (2, 0), (4, 1)):
        assert (intercepts[row], *coefficients[row]) == tuple(fitted[place])
    assert intercepts[1] * fitted[0, 0] > 0
    assert (coefficients[1] == 0).all()
    assert (coefficients[3] == 0).nonzero()[0].tolist() == [0, 1, 2]


def test_covariance_of_incomplete_rows_is_close_to_that_of_complete_ones() -> None:
    """A fifth of the values is missing at random: three standard errors. No direction has a negative variance."""
    rows = drawn(20_000, 8)
    rows[np.random.default_rng(9).random(rows.shape) < 0.2] = np.nan
    found = covariance_of(rows)
    np.testing.assert_allclose(found, COVARIANCE, rtol=0, atol=0.1)
    few = covariance_of(rows[:25])
    assert np.linalg.eigvalsh(few).min() > -1e-12
