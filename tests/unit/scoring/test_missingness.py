"""Each set of missing fields is numbered by one pattern."""

from __future__ import annotations

import numpy as np

from tests.support.models import every_missing_pattern, random_rows
from tests.support.uci import FEATURE_NAMES, PATTERNS, missing_fields, pattern_masks, pattern_name, patterns_of


def test_every_pattern_has_its_number() -> None:
    """1,024 records with different missing fields have 1,024 patterns, numbered in the table's order."""
    np.testing.assert_array_equal(np.arange(PATTERNS), patterns_of(every_missing_pattern()))


def test_mask_and_names_are_the_missing_fields() -> None:
    """Mask and names of a pattern are the missing fields of its records."""
    rows = every_missing_pattern()
    np.testing.assert_array_equal(np.isnan(rows), pattern_masks())
    expected = [tuple(name for name, gap in zip(FEATURE_NAMES, row, strict=True) if gap) for row in np.isnan(rows)]
    assert expected == [missing_fields(pattern) for pattern in range(PATTERNS)]


def test_pattern_has_a_name() -> None:
    """The name lists the missing fields in the table's order; without any it is "complete"."""
    rows = random_rows(2)
    rows[1, [FEATURE_NAMES.index(name) for name in ("thal", "ca", "slope")]] = np.nan
    assert [pattern_name(pattern) for pattern in patterns_of(rows).tolist()] == ["complete", "slope+ca+thal"]
