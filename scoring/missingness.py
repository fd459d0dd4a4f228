"""Missing patterns: the set of missing optional fields as one number.

Bit i of a pattern is set if the i-th optional field, in the order of the feature table, is missing. 0 is a complete
record. Ten optional fields have 1,024 patterns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.tables.feature_table import FeatureTable
from scoring.features import Mask, Matrix

Patterns = npt.NDArray[np.intp]

COMPLETE: Final = "complete"


class MissingPatterns:
    """The patterns of a feature table. `optional` are the positions of the fields that may be missing."""

    def __init__(self, table: FeatureTable) -> None:
        self._names = table.names
        self.optional = table.optional
        self.count = 1 << len(self.optional)
        self._bits = np.zeros(len(table.features), dtype=np.intp)
        self._bits[list(self.optional)] = 1 << np.arange(len(self.optional))

    def of(self, matrix: Matrix) -> Patterns:
        """Return the pattern (n,) of each record (n, fields), NaN where missing."""
        patterns: Patterns = np.isnan(matrix) @ self._bits
        return patterns

    def masks(self) -> Mask:
        """Return which fields are missing in each pattern, (patterns, fields)."""
        masks: Mask = (np.arange(self.count)[:, None] & self._bits) > 0
        return masks

    def fields(self, pattern: int) -> tuple[str, ...]:
        """Name the fields that are missing in a pattern."""
        return tuple(self._names[j] for i, j in enumerate(self.optional) if pattern >> i & 1)

    def without(self, fields: Iterable[str]) -> int:
        """Return the pattern of a record that lacks these optional fields, and no others."""
        return int(sum(self._bits[self._names.index(field)] for field in set(fields)))

    def name(self, pattern: int) -> str:
        """Name a pattern: `complete`, or the fields that are missing, as in `slope+ca+thal`."""
        return "+".join(self.fields(pattern)) or COMPLETE


class PatternColumns:
    """Which columns of the preprocessor's output are missing in which pattern.

    `used` (patterns, columns) says which columns each pattern's sub-model uses.
    """

    def __init__(self, patterns: MissingPatterns, field_of: Sequence[int]) -> None:
        """`field_of` is the field of each column."""
        self._first = [field_of.index(field) for field in patterns.optional]
        self._bits = 1 << np.arange(len(self._first), dtype=np.intp)
        self.used: Mask = ~patterns.masks()[:, list(field_of)]

    def patterns_of(self, x: Matrix) -> Patterns:
        """Return the missing pattern (n,) of preprocessed rows (n, columns)."""
        patterns: Patterns = np.isnan(x[:, self._first]) @ self._bits
        return patterns
