"""The logistic function is accurate, and the same for a value in any batch."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.logistic import logistic


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
