"""Missing patterns: the set of missing optional fields as one number.

Bit i of a pattern is set if the i-th optional field, in the order of the feature table, is missing. 0 is a complete
record. Ten fields may be missing, so there are 1,024 patterns.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.features import FEATURES
from scoring.features import Mask, Matrix

Patterns = npt.NDArray[np.intp]

OPTIONAL: Final = tuple(j for j, feature in enumerate(FEATURES) if not feature.required)
"""Positions of the fields that may be missing."""
PATTERNS: Final = 1 << len(OPTIONAL)
COMPLETE: Final = "complete"
_BITS: Final = np.zeros(len(FEATURES), dtype=np.intp)
_BITS[list(OPTIONAL)] = 1 << np.arange(len(OPTIONAL))


def patterns_of(matrix: Matrix) -> Patterns:
    """Return the pattern (n,) of each record (n, 13), NaN where missing."""
    patterns: Patterns = np.isnan(matrix) @ _BITS
    return patterns


def pattern_masks() -> Mask:
    """Return which fields are missing in each pattern, (1024, 13)."""
    masks: Mask = (np.arange(PATTERNS)[:, None] & _BITS) > 0
    return masks


def missing_fields(pattern: int) -> tuple[str, ...]:
    """Name the fields that are missing in a pattern."""
    return tuple(FEATURES[j].name for i, j in enumerate(OPTIONAL) if pattern >> i & 1)


def pattern_name(pattern: int) -> str:
    """Name a pattern: `complete`, or the fields that are missing, as in `slope+ca+thal`."""
    return "+".join(missing_fields(pattern)) or COMPLETE
