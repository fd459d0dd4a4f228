"""The fitted preprocessor as plain tables, so that scoring needs no scikit-learn.

Each output column of the preprocessor depends on one field alone: either affinely, or by a lookup of the field's code.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.tables.feature_table import Feature, FeatureTable, Kind
from scoring.features import Matrix

Rows = npt.NDArray[np.intp]


class PreprocessedColumns:
    """The preprocessor's output for a feature table: one column for a number, one for each code of a label.

    `scaled`, `binary` and `one_hot` are positions of fields, in the order of the output; `field_of` is the field
    (columns,) of each of its columns.
    """

    def __init__(self, table: FeatureTable) -> None:
        features = tuple(enumerate(table.features))
        self.scaled = [j for j, feature in features if feature.kind is Kind.QUANTITY or feature.ordered]
        self.binary = [j for j, feature in features if j not in self.scaled and _codes(feature) == [0, 1]]
        self.one_hot = [j for j, _ in features if j not in {*self.scaled, *self.binary}]
        self.codes = [_codes(table.features[j]) for j in self.one_hot]
        blocks = zip(self.one_hot, self.codes, strict=True)
        self.field_of = (*self.scaled, *self.binary, *(j for j, codes in blocks for _ in codes))


def _codes(feature: Feature) -> list[int]:
    return [code for code, _ in feature.codes]


class Plan(msgspec.Struct, frozen=True):
    """The preprocessor as arrays.

    `affine` are the matrix columns that become (x - mean) / scale; `lookup` are those whose code picks a row of a table
    (rows, codes). All tables have the same number of rows: one for each code from 0 on, and a last one for a missing
    value. What is missing becomes NaN, in each of its columns.
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
        """The first of the columns of each of `fields`."""
        widths = [1] * len(self.affine) + [table.shape[1] for table in self.tables]
        return [sum(widths[:place]) for place in range(len(widths))]

    def rows_of(self, matrix: Matrix) -> Rows:
        """Return the table row (n, lookup fields) that each record picks for each lookup field."""
        picked = matrix.take(self.lookup, axis=1)
        rows: Rows = np.where(np.isnan(picked), len(self.tables[0]) - 1 if self.tables else 0, picked).astype(np.intp)
        return rows

    def transform(self, matrix: Matrix) -> Matrix:
        """Return what the preprocessor's `transform` returns, (n, columns), for valid records (n, fields)."""
        scaled = (matrix.take(self.affine, axis=1) - self.mean) / self.scale
        rows = self.rows_of(matrix)
        blocks = [table.take(codes, axis=0) for table, codes in zip(self.tables, rows.T, strict=True)]
        return np.concatenate([scaled, *blocks], axis=1)
