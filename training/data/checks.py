"""Data checks of training rows.

Corrupted copies of UCI Heart Disease circulate, with duplicate rows, permuted codes or an inverted target. Training on
them raises no error by itself; the model learns something else, or its performance is overestimated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from schemas.errors import DataError
from schemas.tables.builtin import UCI_HEART
from scoring.evidence import SourceWindow, evidence_of
from scoring.features import Mask
from training.arrays import Labels, Matrix
from training.data.frames import features, target
from training.data.uci import UCI
from training.estimates import wilson_interval

MIN_PER_OUTCOME: Final = 25
"""Each inner and outer fold of a nested 5-fold cross-validation needs a few patients of either outcome."""

_MAX_DUPLICATES: Final = 0.05
"""The largest share of duplicates: UCI's own files have single ones, corrupted copies many."""
_DISTINCTIVE: Final = [UCI_HEART.names.index(name) for name in ("trestbps", "chol", "thalach")]
"""Two patients rarely agree in all of these and the other fields; without these they may."""
_ASYMPTOMATIC: Final = 4
_ATYPICAL: Final = 2
_KAGGLE_1025: Final = (1025, 302)
"""Rows and distinct rows of the copy that most tutorials use."""


def check_training_rows(frame: pd.DataFrame) -> None:
    """Raise DataError with all reasons why these rows are unfit for training."""
    matrix, labels = features(frame), target(frame)
    foreign = list(foreign_codes(matrix))
    # The check by chest pain requires UCI's codes.
    problems = [*foreign, *illegal_values(matrix), *([] if foreign else inverted_target(matrix, labels))]
    problems += [*too_many_duplicates(matrix, labels), *too_few(labels)]
    if problems:
        raise DataError("; ".join(problems))


def foreign_rows(matrix: Matrix) -> Mask:
    """Return which rows (n, 13) have a value that exists only in other codings of this data."""
    foreign = np.zeros(len(matrix), dtype=bool)
    for column, feature in zip(matrix.T, UCI_HEART.features, strict=True):
        for hint in feature.hints:
            if hint.foreign:
                foreign |= (column >= hint.lowest) & (column <= hint.highest)
    return foreign


def foreign_codes(matrix: Matrix) -> Iterator[str]:
    """Report if the rows are in another coding of this data, if more show it than typing errors explain."""
    foreign = np.flatnonzero(foreign_rows(matrix)).tolist()
    if SourceWindow().note(evidence_of(np.flatnonzero(UCI.matrix.legal_rows(matrix)).tolist(), foreign)):
        yield (
            f"{len(foreign)} of {len(matrix)} rows hold values of another coding of this data (cp 0, slope 0, ca 4, "
            "thal 0 to 2, oldpeak above 10), which also changes the meaning of other values and perhaps of the "
            f"outcome; there are several: {', '.join(UCI_HEART.foreign_codings)}"
        )


def illegal_values(matrix: Matrix) -> Iterator[str]:
    """Report the rows without a required field, and those with a value outside the feature table."""
    incomplete = np.isnan(matrix[:, [j for j, feature in enumerate(UCI_HEART.features) if feature.required]]).any(
        axis=1
    )
    if incomplete.any():
        required = ", ".join(feature.name for feature in UCI_HEART.features if feature.required)
        yield f"{int(incomplete.sum())} of {len(matrix)} rows lack one of {required}, which every patient must have"
    illegal = int((~UCI.matrix.legal_rows(matrix) & ~incomplete).sum())
    if illegal:
        yield f"{illegal} of {len(matrix)} rows hold a value that the feature table does not allow"


def inverted_target(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Report if disease is significantly rarer with chest pain type 4 than with type 2.

    A hospital may have too few patients with either kind of chest pain for this check.
    """
    asymptomatic, atypical = by_chest_pain(matrix, labels)
    if len(asymptomatic) and len(atypical):
        type_4, type_2 = (wilson_interval(int(some.sum()), len(some)) for some in (asymptomatic, atypical))
        if type_4.high < type_2.low:
            yield inversion_problem(asymptomatic, atypical)


def by_chest_pain(matrix: Matrix, labels: Labels) -> tuple[Labels, Labels]:
    """Return the outcomes of patients with chest pain type 4 (asymptomatic), and of those with type 2 (atypical)."""
    pain = matrix[:, UCI_HEART.names.index("cp")]
    return labels[pain == _ASYMPTOMATIC], labels[pain == _ATYPICAL]


def inversion_problem(asymptomatic: Labels, atypical: Labels) -> str:
    """Return the problem that outcomes by chest pain show."""
    return (
        f"the target looks inverted, as in the Kaggle copy: {asymptomatic.mean():.0%} disease with cp 4 "
        f"(asymptomatic) and {atypical.mean():.0%} with cp 2 (atypical angina), expected the other way round"
    )


def too_few(labels: Labels) -> Iterator[str]:
    """Report if there are too few patients of either outcome for training and evaluation."""
    positives, negatives = int(labels.sum()), int((labels == 0).sum())
    if not min(positives, negatives):
        found = "no disease" if negatives else "disease"
        yield f"all {len(labels)} patients have the same outcome ({found}): nothing can be learned from them"
    elif min(positives, negatives) < MIN_PER_OUTCOME:
        yield (
            f"{positives} patients with disease and {negatives} without are too few: nested 5-fold cross-validation "
            f"needs {MIN_PER_OUTCOME} of either at least, and a useful model some hundreds"
        )


def too_many_duplicates(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Report if more than 5% of the rows are duplicates, of which one would train and the other test the model."""
    distinctive = ~np.isnan(matrix[:, _DISTINCTIVE]).any(axis=1)
    if certain_duplicates(matrix, labels).sum() > _MAX_DUPLICATES * distinctive.sum():
        yield from duplicate_rows(matrix, labels)


def certain_duplicates(matrix: Matrix, labels: Labels) -> Mask:
    """Return which rows repeat an earlier one, including all fields that distinguish patients."""
    return duplicates(matrix, labels) & ~np.isnan(matrix[:, _DISTINCTIVE]).any(axis=1)


def duplicate_rows(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Report duplicate rows."""
    rows, duplicated = len(matrix), int(duplicates(matrix, labels).sum())
    if duplicated:
        unique = rows - duplicated
        origin = "; this is the Kaggle copy with 1025 rows" if (rows, unique) == _KAGGLE_1025 else ""
        yield (
            f"only {unique} of {rows} rows are distinct{origin}; "
            "duplicate patients make results look better or more certain than they are"
        )


def duplicates(matrix: Matrix, labels: Labels) -> Mask:
    """Return which rows equal an earlier one; missing values count as equal."""
    return np.asarray(pd.DataFrame(np.column_stack([matrix, labels])).duplicated(), dtype=bool)
