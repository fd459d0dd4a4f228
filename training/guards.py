"""What must be true of training rows and of results, and is not true of the well-known spoilt copies of this data.

Copies of UCI Heart Disease go round with repeated rows, permuted codes and an inverted target. Nothing in them raises
an error by itself; the model just learns something else, or seems far better than it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from schemas.errors import ArtifactError, DataError
from schemas.features import FEATURE_NAMES, FEATURES
from scoring.matrix import Mask, legal_rows
from training.data import Labels, Matrix, features, target

HIGHEST_ROC_AUC: Final = 0.95
HIGHEST_ACCURACY: Final = 0.92
"""Honest work on these 13 fields ends at 0.91 (95% interval 0.88 to 0.94) and 0.86; beyond these limits is a leak."""

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
    problems += repeated_rows(matrix, labels)
    if problems:
        raise DataError("; ".join(problems))


def kaggle_rows(matrix: Matrix) -> Mask:
    """Say of each row (n, 13) whether it has a code that only the Kaggle copy has."""
    kaggle = np.zeros(len(matrix), dtype=bool)
    for column, feature in zip(matrix.T, FEATURES, strict=True):
        for hint in feature.hints:
            if hint.kaggle:
                kaggle |= (column >= hint.lowest) & (column <= hint.highest)
    return kaggle


def foreign_codes(matrix: Matrix) -> Iterator[str]:
    """Say if rows are in the coding of the Kaggle copy."""
    kaggle = int(kaggle_rows(matrix).sum())
    if kaggle:
        yield (
            f"{kaggle} of {len(matrix)} rows hold codes of the Kaggle copy (cp 0, slope 0, ca 4, "
            "thal 0 to 2), which permutes five fields and inverts the target; use UCI's own files"
        )


def illegal_values(matrix: Matrix) -> Iterator[str]:
    """Say how many of the other rows hold a value outside the feature table."""
    illegal = int((~legal_rows(matrix) & ~kaggle_rows(matrix)).sum())
    if illegal:
        yield f"{illegal} of {len(matrix)} rows hold a value that the feature table does not allow"


def inverted_target(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Say if disease is not commoner with chest pain type 4 than with type 2, or if that cannot be seen."""
    asymptomatic, atypical = by_chest_pain(matrix, labels)
    if not len(asymptomatic) or not len(atypical):
        yield "no row has chest pain type 4, or none has type 2: this is not UCI Heart Disease"
    elif asymptomatic.mean() <= atypical.mean():
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


def refuse_too_good(model: str, roc_auc: float, accuracy: float) -> None:
    """Raise ArtifactError if a cross-validated result is better than this data allows."""
    if roc_auc > HIGHEST_ROC_AUC or accuracy > HIGHEST_ACCURACY:
        raise ArtifactError(
            f"{model} is too good to be true: ROC-AUC {roc_auc:.3f} (limit {HIGHEST_ROC_AUC}), accuracy {accuracy:.3f} "
            f"(limit {HIGHEST_ACCURACY}); look for repeated rows or a field that knows the answer"
        )
