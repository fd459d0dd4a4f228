"""Patient groups by sex and kind of chest pain, for which uncertainty is measured separately.

Both fields are required, so every record has a group, whatever else is missing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.features import FEATURE_NAMES
from scoring.features import Matrix

Groups = npt.NDArray[np.intp]

GROUPS: Final = (
    "women, chest pain 1 to 3",
    "women, chest pain 4",
    "men, chest pain 1 to 3",
    "men, chest pain 4",
)
"""Chest pain 4 is "asymptomatic": no pain, and other reasons to be referred."""
_SEX: Final = FEATURE_NAMES.index("sex")
_CHEST_PAIN: Final = FEATURE_NAMES.index("cp")
_ASYMPTOMATIC: Final = 4


def groups_of(matrix: Matrix) -> Groups:
    """Return each record's index (n,) in `GROUPS`, for valid records (n, 13)."""
    groups: Groups = 2 * matrix[:, _SEX].astype(np.intp) + (matrix[:, _CHEST_PAIN] == _ASYMPTOMATIC)
    return groups
