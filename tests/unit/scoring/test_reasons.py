"""The cached bytes of reasons equal newly encoded ones."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Reason
from scoring.reasons import StrongestReasons
from tests.support.uci import FEATURE_NAMES

LOG_ODDS = st.floats(-40, 40) | st.sampled_from([0.0, -0.0, -0.0001, 0.25, -0.25, 15.999, 16.001, -1e9])
ROWS = st.lists(st.lists(LOG_ODDS, min_size=13, max_size=13), min_size=1, max_size=5)
STRONGEST = StrongestReasons(FEATURE_NAMES)


@given(batches=st.lists(ROWS, min_size=1, max_size=3), count=st.integers(1, 13))
def test_reasons_are_ordered_by_strength_then_by_field(batches: list[list[list[float]]], count: int) -> None:
    """Whatever was encoded before, with three decimals and the sign of zero."""
    for rows in batches:
        expected = []
        for row in np.round(np.array(rows), 3).tolist():
            reasons = [Reason(name, log_odds) for name, log_odds in zip(FEATURE_NAMES, row, strict=True)]
            expected.append(sorted(reasons, key=lambda reason: -abs(reason.log_odds))[:count])
        found = STRONGEST.of(np.array(rows), count)
        assert list(map(msgspec.json.encode, expected)) == list(map(msgspec.json.encode, found))
