"""The golden records are fit to prove an engine: legal, the same for ever, and holding what a record may hold."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.features import FEATURE_NAMES, FEATURES
from scoring.features import legal_rows
from scoring.reference_cases import golden_digest, golden_records
from tests.unit.scoring.models import OPTIONAL


def test_golden_records_are_legal() -> None:
    """An engine is proved on records that it may meet."""
    assert legal_rows(golden_records()).all()


def test_golden_records_are_the_same_everywhere() -> None:
    """What a model makes of them can be compared with what scikit-learn made of them elsewhere, years ago."""
    np.testing.assert_array_equal(golden_records(), golden_records())
    assert golden_digest() == "5bcb0731451ec02b428d4bcce0fb8857d220b16a4eacc4aaab06c82b4e305154"


@pytest.mark.parametrize("j", range(len(FEATURES)), ids=FEATURE_NAMES)
def test_golden_records_hold_the_limits_and_all_codes(j: int) -> None:
    """Both limits of each quantity and each code of each field are proved."""
    feature = FEATURES[j]
    wanted = {float(code) for code, _ in feature.codes} or set(feature.interval)
    assert wanted <= set(golden_records()[:, j].tolist())


def test_golden_records_lack_each_field_that_may_be_missing() -> None:
    """Each optional field is missing in some golden record and there in another; required ones always are there."""
    missing = np.isnan(golden_records()).mean(axis=0)
    assert [j in OPTIONAL for j in range(len(FEATURES))] == [0 < share < 1 for share in missing.tolist()]
