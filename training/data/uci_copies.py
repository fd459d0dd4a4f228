"""The signs of corrupted copies of UCI Heart Disease, which only the built-in feature table has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from schemas.tables.builtin import UCI_HEART
from training.arrays import Labels, Matrix
from training.estimates import wilson_interval

_ASYMPTOMATIC: Final = 4
_ATYPICAL: Final = 2
_KAGGLE_1025: Final = (1025, 302)
"""Rows and distinct rows of the copy that most tutorials use."""
_STATLOG: Final = frozenset({1, 2})
"""The outcome values of a file in Statlog's coding, which have another meaning in UCI's."""


def inverted_target(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Report if disease is significantly rarer with chest pain type 4 (asymptomatic) than with type 2 (atypical).

    A hospital may have too few patients with either kind of chest pain for this check.
    """
    pain = matrix[:, UCI_HEART.names.index("cp")]
    asymptomatic, atypical = labels[pain == _ASYMPTOMATIC], labels[pain == _ATYPICAL]
    if not (len(asymptomatic) and len(atypical)):
        return
    type_4, type_2 = (wilson_interval(int(some.sum()), len(some)) for some in (asymptomatic, atypical))
    if type_4.high < type_2.low:
        yield (
            f"the target looks inverted, as in the Kaggle copy: {asymptomatic.mean():.0%} disease with cp 4 "
            f"(asymptomatic) and {atypical.mean():.0%} with cp 2 (atypical angina), expected the other way round"
        )


def statlog_outcomes(outcomes: set[int]) -> Iterator[str]:
    """Report if all outcomes are 1 or 2, as in Statlog's coding, where 1 means UCI's 0."""
    if outcomes == _STATLOG:
        yield (
            "the outcome is 1 or 2 in every row and never 0, as in Statlog's coding, where 1 is absence and 2 presence "
            f"of disease; there are several codings: {', '.join(UCI_HEART.coding_by_name)}"
        )


def origin_of(rows: int, unique: int) -> str:
    """Return which copy has so many rows and distinct rows, if one is known."""
    return "; this is the Kaggle copy with 1025 rows" if (rows, unique) == _KAGGLE_1025 else ""
