"""A missing pattern is one number, and means one set of fields."""

from __future__ import annotations

import numpy as np

from schemas.features import FEATURE_NAMES
from scoring.missingness import PATTERNS, missing_fields, pattern_masks, pattern_name, patterns_of
from tests.support.models import every_missing_pattern, random_rows


def test_every_pattern_has_its_number() -> None:
    """1,024 records, each with another set of missing fields, have 1,024 patterns, numbered in the table's order."""
    np.testing.assert_array_equal(np.arange(PATTERNS), patterns_of(every_missing_pattern()))


def test_mask_and_names_are_the_missing_fields() -> None:
    """What a pattern says is missing is what is missing in a record of that pattern."""
    rows = every_missing_pattern()
    np.testing.assert_array_equal(np.isnan(rows), pattern_masks())
    expected = [tuple(name for name, gap in zip(FEATURE_NAMES, row, strict=True) if gap) for row in np.isnan(rows)]
    assert expected == [missing_fields(pattern) for pattern in range(PATTERNS)]


def test_pattern_has_a_name() -> None:
    """Nothing missing is called complete; else the missing fields are named in the table's order."""
    rows = random_rows(2)
    rows[1, [FEATURE_NAMES.index(name) for name in ("thal", "ca", "slope")]] = np.nan
    assert [pattern_name(pattern) for pattern in patterns_of(rows).tolist()] == ["complete", "slope+ca+thal"]
