"""Missing patterns: the set of missing optional fields as one number.

Bit i of a pattern is set if the i-th optional field, in the order of the feature table, is missing. 0 is a complete
record. Ten optional fields have 1,024 patterns, and a model's tables have a row for each of them. Of more fields, the
tables list only the patterns that training chose; a record with another one has no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.tables.feature_table import FeatureTable
from scoring.features import Mask, Matrix

Patterns = npt.NDArray[np.int64]

COMPLETE: Final = "complete"
MOST_ENUMERATED: Final = 10
"""Up to this many optional fields, tables list every pattern."""


class MissingPatterns:
    """The patterns of a feature table. `optional` are the positions of the fields that may be missing.

    `listed` (count,) are the patterns that a model's tables have a row for, in the order of the rows, 0 first. `bits`
    (fields,) are the bits of the fields, 0 for a required one.
    """

    def __init__(self, table: FeatureTable, listed: Iterable[int] = ()) -> None:
        """`listed` are the chosen patterns of a table with more than ten optional fields; 0 is added."""
        self._names = table.names
        self.optional = table.optional
        self.are_all = len(self.optional) <= MOST_ENUMERATED
        chosen = range(1 << len(self.optional)) if self.are_all else sorted({0, *listed})
        self.listed: Patterns = np.array(chosen, dtype=np.int64)
        self.count = len(self.listed)
        self.bits: Patterns = np.zeros(len(table.features), dtype=np.int64)
        self.bits[list(self.optional)] = 1 << np.arange(len(self.optional), dtype=np.int64)

    def of(self, matrix: Matrix) -> Patterns:
        """Return the pattern (n,) of each record (n, fields), NaN where missing."""
        patterns: Patterns = np.isnan(matrix) @ self.bits
        return patterns

    def rows(self, patterns: Patterns) -> Patterns:
        """Return the row (n,) of each pattern (n,) in a model's tables; `count` for one that is not listed."""
        if self.are_all:
            return patterns
        rows = np.minimum(np.searchsorted(self.listed, patterns), self.count - 1)
        return np.where(self.listed[rows] == patterns, rows, self.count)

    def row(self, pattern: int) -> int:
        """Return the row of one pattern."""
        return int(self.rows(np.array([pattern], dtype=np.int64))[0])

    def masks(self) -> Mask:
        """Return which fields are missing in each listed pattern, (count, fields)."""
        masks: Mask = (self.listed[:, None] & self.bits) > 0
        return masks

    def fields(self, pattern: int) -> tuple[str, ...]:
        """Name the fields that are missing in a pattern."""
        return tuple(self._names[j] for i, j in enumerate(self.optional) if pattern >> i & 1)

    def without(self, fields: Iterable[str]) -> int:
        """Return the pattern of a record that lacks these optional fields, and no others."""
        return int(sum(self.bits[self._names.index(field)] for field in set(fields)))

    def name(self, pattern: int) -> str:
        """Name a pattern: `complete`, or the fields that are missing, as in `creatinine+lambda`."""
        return "+".join(self.fields(pattern)) or COMPLETE


class PatternColumns:
    """Which columns of the preprocessor's output are missing in which pattern.

    `used` (count, columns) says which columns each listed pattern's sub-model uses.
    """

    def __init__(self, patterns: MissingPatterns, field_of: Sequence[int]) -> None:
        """`field_of` is the field of each column."""
        self.patterns = patterns
        self._first = [field_of.index(field) for field in patterns.optional]
        self._bits = patterns.bits[list(patterns.optional)]
        self._column_bits = patterns.bits[list(field_of)]
        self.used: Mask = self.used_in(patterns.listed)

    def used_in(self, patterns: Patterns) -> Mask:
        """Return which columns (n, columns) the sub-models of patterns (n,) use."""
        used: Mask = (patterns[:, None] & self._column_bits) == 0
        return used

    def patterns_of(self, x: Matrix) -> Patterns:
        """Return the missing pattern (n,) of preprocessed rows (n, columns)."""
        patterns: Patterns = np.isnan(x[:, self._first]) @ self._bits
        return patterns
