"""The fitted preprocessor as plain tables, so that scoring needs no scikit-learn.

Each output column of the preprocessor depends on one field alone: either affinely, or by a lookup of the field's code.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.matrix import Matrix

Rows = npt.NDArray[np.intp]

TABLE_ROWS: Final = 9
"""Lookup tables have a row for each code 0 to 7, and a last one for a missing value."""
MISSING_ROW: Final = TABLE_ROWS - 1


class Plan(msgspec.Struct, frozen=True):
    """What the preprocessor does, as arrays.

    `affine` are the matrix columns that become (fill if missing else x - mean) / scale; `lookup` are those whose code
    picks a row of a table (9, codes).
    """

    affine: list[int]
    fill: Matrix
    mean: Matrix
    scale: Matrix
    lookup: list[int]
    tables: tuple[Matrix, ...]

    def rows_of(self, matrix: Matrix) -> Rows:
        """Return the table row (n, lookup fields) that each record picks for each lookup field."""
        picked = matrix.take(self.lookup, axis=1)
        return np.where(np.isnan(picked), MISSING_ROW, picked).astype(np.intp)

    def transform(self, matrix: Matrix) -> Matrix:
        """Return what the preprocessor's `transform` returns, (n, 22), for legal records (n, 13)."""
        raw = matrix.take(self.affine, axis=1)
        scaled = (np.where(np.isnan(raw), self.fill, raw) - self.mean) / self.scale
        blocks = [table[rows] for table, rows in zip(self.tables, self.rows_of(matrix).T, strict=True)]
        return np.concatenate([scaled, *blocks], axis=1)
