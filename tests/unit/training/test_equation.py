"""A reader can compute a risk from the equation of any table, also where codes are texts."""

from __future__ import annotations

import math
from pathlib import Path

import joblib
import numpy as np
import pytest

from scoring.scorer import Scorer
from tests.support.other_tables import invented_rows
from training.report.equation import equation


@pytest.mark.parametrize("missing", [(), ("lambda", "mgus")], ids=["complete", "lambda+mgus"])
def test_the_equation_of_text_codes_gives_the_risk(missing: tuple[str, ...], flchain_dir: Path) -> None:
    """Each text has its coefficient, that of the first of two is 0; no text has a coefficient "per unit"."""
    scorer = Scorer.from_directory(flchain_dir)
    compiled, table = scorer.compiled, scorer.compiled.table
    fitted = (joblib.load(flchain_dir / f"{name}.joblib") for name in ("preprocessor", "pattern_submodels"))
    found = equation(*fitted, compiled, compiled.patterns.without(missing), missing)
    assert found.codes["sex"].keys() == {"F", "M"}
    assert found.slopes.keys() & {"sex", "mgus"} == set()
    matrix = invented_rows(compiled, 50)
    matrix = matrix[~np.isnan(matrix).any(axis=1)]
    matrix[:, [table.names.index(name) for name in missing]] = np.nan
    by_hand = []
    for row in matrix.tolist():
        values = table.fields_of(row)
        log_odds = found.intercept + sum(slope * float(values[name]) for name, slope in found.slopes.items())
        log_odds += sum(numbers[str(values[name])] for name, numbers in found.codes.items())
        by_hand.append(1 / (1 + math.exp(-log_odds)))
    np.testing.assert_allclose(by_hand, scorer.risks(matrix), rtol=0, atol=1e-6)
