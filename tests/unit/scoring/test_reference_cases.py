"""The reference cases can verify an engine: they are valid, never change, and cover what a record may contain."""

from __future__ import annotations

import numpy as np
import pytest

from scoring.reference_cases import reference_cases, sha256_of
from tests.support.models import OPTIONAL
from tests.support.uci import FEATURE_NAMES, FEATURES, UCI, legal_rows


def test_reference_cases_are_valid() -> None:
    """An engine is verified on records that it may get."""
    assert legal_rows(reference_cases(UCI.table)).all()


def test_reference_cases_are_the_same_everywhere() -> None:
    """A model's risks can be compared with those that scikit-learn computed on another machine, years ago."""
    np.testing.assert_array_equal(reference_cases(UCI.table), reference_cases(UCI.table))
    assert sha256_of(reference_cases(UCI.table)) == "5bcb0731451ec02b428d4bcce0fb8857d220b16a4eacc4aaab06c82b4e305154"


@pytest.mark.parametrize("j", range(len(FEATURES)), ids=FEATURE_NAMES)
def test_reference_cases_contain_the_limits_and_all_codes(j: int) -> None:
    """Both limits of each quantity and each code of each field occur."""
    feature = FEATURES[j]
    wanted = {float(code) for code, _ in feature.codes} or set(feature.interval)
    assert wanted <= set(reference_cases(UCI.table)[:, j].tolist())


def test_reference_cases_omit_each_optional_field() -> None:
    """Each optional field is missing in some cases and present in others; required fields are always present."""
    missing = np.isnan(reference_cases(UCI.table)).mean(axis=0)
    assert [j in OPTIONAL for j in range(len(FEATURES))] == [0 < share < 1 for share in missing.tolist()]
