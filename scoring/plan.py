"""The fitted preprocessor as plain tables, so that scoring needs no scikit-learn call.

Each output column of the preprocessor depends on one field alone: either affinely, or by a lookup of the field's code.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer

from scoring.estimators import BINARY, ONE_HOT, SCALED, columns
from scoring.matrix import Matrix

Rows = npt.NDArray[np.intp]

TABLE_ROWS: Final = 9
"""Lookup tables have a row for each code 0 to 7, and a last one for a missing value."""
_MISSING_ROW: Final = TABLE_ROWS - 1


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

    @classmethod
    def of(cls, preprocessor: Any) -> Plan:
        """Read the tables off a fitted preprocessor; raises TypeError for one that is not of the known form."""
        if not isinstance(preprocessor, ColumnTransformer):
            raise TypeError("the preprocessor is not a ColumnTransformer")
        if [name for name, _, _ in preprocessor.transformers_] != ["scaled", "binary", "one_hot"]:
            raise TypeError("the preprocessor has other steps than scaled, binary and one_hot")
        parts = preprocessor.named_transformers_
        imputer, scaler = parts["scaled"].named_steps["impute"], parts["scaled"].named_steps["scale"]
        ones = np.ones(len(BINARY))
        return cls(
            affine=columns(SCALED) + columns(BINARY),
            fill=np.concatenate([imputer.statistics_, parts["binary"].statistics_]),
            mean=np.concatenate([scaler.mean_, 0 * ones]),
            scale=np.concatenate([scaler.scale_, ones]),
            lookup=columns(ONE_HOT),
            tables=tuple(
                _table(codes, expected)
                for codes, expected in zip(parts["one_hot"].codes, parts["one_hot"].expected_, strict=True)
            ),
        )

    def rows_of(self, matrix: Matrix) -> Rows:
        """Return the table row (n, lookup fields) that each record picks for each lookup field."""
        picked = matrix.take(self.lookup, axis=1)
        return np.where(np.isnan(picked), _MISSING_ROW, picked).astype(np.intp)

    def transform(self, matrix: Matrix) -> Matrix:
        """Return what the preprocessor's `transform` returns, (n, 22), for legal records (n, 13)."""
        raw = matrix.take(self.affine, axis=1)
        scaled = (np.where(np.isnan(raw), self.fill, raw) - self.mean) / self.scale
        blocks = [table[rows] for table, rows in zip(self.tables, self.rows_of(matrix).T, strict=True)]
        return np.concatenate([scaled, *blocks], axis=1)


def _table(codes: list[int], expected: Matrix) -> Matrix:
    table = np.zeros((TABLE_ROWS, len(codes)))
    for position, code in enumerate(codes):
        table[code, position] = 1.0
    table[_MISSING_ROW] = expected
    return table
