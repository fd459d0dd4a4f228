"""The fitted preprocessor as plain tables, so that scoring needs no scikit-learn.

Each output column of the preprocessor depends on one field alone: either affinely, or by a lookup of the field's code.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.features import Matrix

Rows = npt.NDArray[np.intp]

TABLE_ROWS: Final = 9
"""Lookup tables have a row for each code 0 to 7, and a last one for a missing value."""
MISSING_ROW: Final = TABLE_ROWS - 1


class Plan(msgspec.Struct, frozen=True):
    """The preprocessor as arrays.

    `affine` are the matrix columns that become (x - mean) / scale; `lookup` are those whose code picks a row of a table
    (9, codes). What is missing becomes NaN, in each of its columns.
    """

    affine: list[int]
    mean: Matrix
    scale: Matrix
    lookup: list[int]
    tables: tuple[Matrix, ...]

    @property
    def fields(self) -> list[int]:
        """The matrix columns in the order in which `transform` takes them."""
        return self.affine + self.lookup

    @property
    def first_columns(self) -> list[int]:
        """The first of the 22 columns of each of `fields`."""
        widths = [1] * len(self.affine) + [table.shape[1] for table in self.tables]
        return [sum(widths[:place]) for place in range(len(widths))]

    def rows_of(self, matrix: Matrix) -> Rows:
        """Return the table row (n, lookup fields) that each record picks for each lookup field."""
        picked = matrix.take(self.lookup, axis=1)
        rows: Rows = np.where(np.isnan(picked), MISSING_ROW, picked).astype(np.intp)
        return rows

    def transform(self, matrix: Matrix) -> Matrix:
        """Return what the preprocessor's `transform` returns, (n, 22), for valid records (n, 13)."""
        scaled = (matrix.take(self.affine, axis=1) - self.mean) / self.scale
        rows = self.rows_of(matrix)
        blocks = [table.take(codes, axis=0) for table, codes in zip(self.tables, rows.T, strict=True)]
        return np.concatenate([scaled, *blocks], axis=1)
