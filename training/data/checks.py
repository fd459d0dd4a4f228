"""What must be true of training rows and of results, and is not true of the well-known spoilt copies of this data.

Copies of UCI Heart Disease go round with repeated rows, permuted codes and an inverted target. Nothing in them raises
an error by itself; the model just learns something else, or seems far better than it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from schemas.codings import FOREIGN_NAMES
from schemas.errors import DataError
from schemas.features import FEATURE_NAMES, FEATURES
from scoring.evidence import SourceWindow, evidence_of
from scoring.features import Mask, legal_rows
from training.arrays import Labels, Matrix
from training.data.frames import features, target
from training.estimates import wilson

FEWEST_OF_EITHER: Final = 25
"""Each of 5 folds, and each of the 5 inside its training part, needs a few patients of either outcome."""

_MOST_REPEATED: Final = 0.05
"""UCI's own files repeat a row here and there; a spoilt copy repeats many."""
_FINE: Final = [FEATURE_NAMES.index(name) for name in ("trestbps", "chol", "thalach")]
"""Two patients hardly agree in all of these and in the other fields; without them they may."""
_ASYMPTOMATIC: Final = 4
_ATYPICAL: Final = 2
_KAGGLE_1025: Final = (1025, 302)
"""Rows and different rows of the copy that most tutorials use."""


def check_rows(frame: pd.DataFrame) -> None:
    """Raise DataError if these rows must not be trained on; the text has every reason."""
    matrix, labels = features(frame), target(frame)
    foreign = list(foreign_codes(matrix))
    # What chest pain says of the target can only be read in UCI's codes.
    problems = [*foreign, *illegal_values(matrix), *([] if foreign else inverted_target(matrix, labels))]
    problems += [*too_many_repeats(matrix, labels), *too_few(labels)]
    if problems:
        raise DataError("; ".join(problems))


def foreign_rows(matrix: Matrix) -> Mask:
    """Say of each row (n, 13) whether it has a value that only other codings of this data have."""
    foreign = np.zeros(len(matrix), dtype=bool)
    for column, feature in zip(matrix.T, FEATURES, strict=True):
        for hint in feature.hints:
            if hint.foreign:
                foreign |= (column >= hint.lowest) & (column <= hint.highest)
    return foreign


def foreign_codes(matrix: Matrix) -> Iterator[str]:
    """Say if rows are in another coding of this data: if so many of them show it as no slip of the pen explains."""
    foreign = np.flatnonzero(foreign_rows(matrix)).tolist()
    if SourceWindow().note(evidence_of(np.flatnonzero(legal_rows(matrix)).tolist(), foreign)):
        yield (
            f"{len(foreign)} of {len(matrix)} rows hold values of another coding of this data (cp 0, slope 0, ca 4, "
            "thal 0 to 2, oldpeak above 10), in which other values mean something else, too, and perhaps the outcome; "
            f"there are several: {', '.join(FOREIGN_NAMES)}"
        )


def illegal_values(matrix: Matrix) -> Iterator[str]:
    """Say how many rows lack a required field, and how many others hold a value outside the feature table."""
    lacking = np.isnan(matrix[:, [j for j, feature in enumerate(FEATURES) if feature.required]]).any(axis=1)
    if lacking.any():
        required = ", ".join(feature.name for feature in FEATURES if feature.required)
        yield f"{int(lacking.sum())} of {len(matrix)} rows lack one of {required}, which every patient must have"
    illegal = int((~legal_rows(matrix) & ~lacking).sum())
    if illegal:
        yield f"{illegal} of {len(matrix)} rows hold a value that the feature table does not allow"


def inverted_target(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Say if disease is rarer with chest pain type 4 than with type 2, beyond what chance explains.

    Not every hospital has patients with every kind of chest pain, nor enough of them.
    """
    asymptomatic, atypical = by_chest_pain(matrix, labels)
    if len(asymptomatic) and len(atypical):
        ours, theirs = (wilson(int(some.sum()), len(some)) for some in (asymptomatic, atypical))
        if ours.high < theirs.low:
            yield inversion(asymptomatic, atypical)


def by_chest_pain(matrix: Matrix, labels: Labels) -> tuple[Labels, Labels]:
    """Return the outcomes of patients with chest pain type 4 (asymptomatic), and of those with type 2 (atypical)."""
    pain = matrix[:, FEATURE_NAMES.index("cp")]
    return labels[pain == _ASYMPTOMATIC], labels[pain == _ATYPICAL]


def inversion(asymptomatic: Labels, atypical: Labels) -> str:
    """Say how outcomes by chest pain give an inverted target away."""
    return (
        f"the target looks inverted, as in the Kaggle copy: {asymptomatic.mean():.0%} disease with cp 4 "
        f"(asymptomatic) and {atypical.mean():.0%} with cp 2 (atypical angina), expected the other way round"
    )


def too_few(labels: Labels) -> Iterator[str]:
    """Say if there are too few patients of either outcome to train and evaluate with."""
    ill, healthy = int(labels.sum()), int((labels == 0).sum())
    if not min(ill, healthy):
        found = "no disease" if healthy else "disease"
        yield f"all {len(labels)} patients have the same outcome ({found}): nothing can be learned from them"
    elif min(ill, healthy) < FEWEST_OF_EITHER:
        yield (
            f"{ill} patients with disease and {healthy} without are too few: nested 5-fold cross-validation needs "
            f"{FEWEST_OF_EITHER} of either at least, and a model worth using some hundred"
        )


def too_many_repeats(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Say if more than 5% of the rows are equal to another: of two, one would be trained on and the other tested on."""
    fine = ~np.isnan(matrix[:, _FINE]).any(axis=1)
    if sure_repeats(matrix, labels).sum() > _MOST_REPEATED * fine.sum():
        yield from repeated_rows(matrix, labels)


def sure_repeats(matrix: Matrix, labels: Labels) -> Mask:
    """Say of each row whether it is an earlier one once more: the fields that tell people apart are known and agree."""
    return repeats(matrix, labels) & ~np.isnan(matrix[:, _FINE]).any(axis=1)


def repeated_rows(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Say if rows are equal: of two, one would be trained on and the other tested on."""
    rows, repeated = len(matrix), int(repeats(matrix, labels).sum())
    if repeated:
        unique = rows - repeated
        origin = "; this is the Kaggle copy with 1025 rows" if (rows, unique) == _KAGGLE_1025 else ""
        yield (
            f"only {unique} of {rows} rows are different{origin}; "
            "a patient who stands twice makes results look better, or surer, than they are"
        )


def repeats(matrix: Matrix, labels: Labels) -> Mask:
    """Say of each row whether an equal one stands before it; missing values are equal."""
    return np.asarray(pd.DataFrame(np.column_stack([matrix, labels])).duplicated(), dtype=bool)
