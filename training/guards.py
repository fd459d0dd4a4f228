"""What must be true of training rows and of results, and is not true of the well-known spoilt copies of this data.

Copies of UCI Heart Disease go round with repeated rows, permuted codes and an inverted target. Nothing in them raises
an error by itself; the model just learns something else, or seems far better than it is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from schemas.errors import ArtifactError, DependencyError
from schemas.features import FEATURE_NAMES, FEATURES
from scoring.matrix import legal_rows
from training.data import Labels, Matrix, features, target

HIGHEST_ROC_AUC: Final = 0.95
HIGHEST_ACCURACY: Final = 0.92
"""Honest work on these 13 fields ends at 0.91 (95% interval 0.88 to 0.94) and 0.86; beyond these limits is a leak."""

_ASYMPTOMATIC: Final = 4
_ATYPICAL: Final = 2
_KAGGLE_1025: Final = (1025, 302)
"""Rows and different rows of the copy that most tutorials use."""


def check_rows(frame: pd.DataFrame) -> None:
    """Raise DependencyError if these rows must not be trained on; the text says why."""
    matrix, labels = features(frame), target(frame)
    refuse_foreign_codes(matrix)
    refuse_inverted_target(matrix, labels)
    refuse_repeated_rows(matrix, labels)


def refuse_foreign_codes(matrix: Matrix) -> None:
    """Raise DependencyError if a value of the (n, 13) matrix is outside the feature table."""
    kaggle = np.zeros(len(matrix), dtype=bool)
    for column, feature in zip(matrix.T, FEATURES, strict=True):
        for hint in feature.hints:
            if hint.kaggle:
                kaggle |= (column >= hint.lowest) & (column <= hint.highest)
    if kaggle.any():
        raise DependencyError(
            f"{int(kaggle.sum())} of {len(matrix)} rows hold codes of the Kaggle copy (cp 0, slope 0, ca 4, "
            "thal 0 to 2), which permutes five fields and inverts the target; use UCI's own files"
        )
    illegal = int((~legal_rows(matrix)).sum())
    if illegal:
        raise DependencyError(f"{illegal} of {len(matrix)} rows hold a value that the feature table does not allow")


def refuse_inverted_target(matrix: Matrix, labels: Labels) -> None:
    """Raise DependencyError if disease is not commoner with chest pain type 4 than with type 2."""
    pain = matrix[:, FEATURE_NAMES.index("cp")]
    asymptomatic, atypical = labels[pain == _ASYMPTOMATIC], labels[pain == _ATYPICAL]
    if not len(asymptomatic) or not len(atypical):
        raise DependencyError("no row has chest pain type 4, or none has type 2: this is not UCI Heart Disease")
    if asymptomatic.mean() <= atypical.mean():
        raise DependencyError(
            f"the target looks inverted, as in the Kaggle copy: {asymptomatic.mean():.0%} disease with cp 4 "
            f"(asymptomatic) and {atypical.mean():.0%} with cp 2 (atypical angina), expected the other way round"
        )


def refuse_repeated_rows(matrix: Matrix, labels: Labels) -> None:
    """Raise DependencyError if two rows are equal: one would be trained on and the other tested on."""
    rows = len(matrix)
    unique = rows - int(pd.DataFrame(np.column_stack([matrix, labels])).duplicated().sum())
    if unique < rows:
        origin = "; this is the Kaggle copy with 1025 rows" if (rows, unique) == _KAGGLE_1025 else ""
        raise DependencyError(
            f"only {unique} of {rows} rows are different{origin}; "
            "a patient on both sides of a split makes every model look perfect"
        )


def refuse_too_good(model: str, roc_auc: float, accuracy: float) -> None:
    """Raise ArtifactError if a cross-validated result is better than this data allows."""
    if roc_auc > HIGHEST_ROC_AUC or accuracy > HIGHEST_ACCURACY:
        raise ArtifactError(
            f"{model} is too good to be true: ROC-AUC {roc_auc:.3f} (limit {HIGHEST_ROC_AUC}), accuracy {accuracy:.3f} "
            f"(limit {HIGHEST_ACCURACY}); look for repeated rows or a field that knows the answer"
        )
