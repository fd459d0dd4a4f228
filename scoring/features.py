"""Patient records as numbers: an (n, fields) float64 matrix, in feature-table order, NaN where not measured.

The vectorized equivalent of `schemas.validation`: it accepts no row that the slow path would reject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.records import PatientRecord
from schemas.tables.feature_table import Coding, FeatureTable

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class MatrixFormat:
    """How records of a feature table become rows, and which rows are valid."""

    def __init__(self, table: FeatureTable) -> None:
        features = table.features
        self._table = table
        self.width = len(features)
        self._row: Callable[[PatientRecord], Sequence[Any]] = _row_of(table.names)
        self._low, self._high = np.array([feature.interval for feature in features]).T
        self._fractional = np.array([not (feature.whole or feature.codes) for feature in features])
        self._optional = np.array([not feature.required for feature in features])
        missing = sorted({code for feature in features for code in feature.missing})
        self._takes_code = {code: np.array([code in feature.missing for feature in features]) for code in missing}
        self._labels = {
            j: {label: float(code) for code, label in enumerate(feature.labels)} | {None: np.nan}
            for j, feature in enumerate(features)
            if feature.labels
        }
        # Columns whose codes are not consecutive, with the codes on either side of each gap.
        self._gaps = tuple(
            (j, below, above)
            for j, feature in enumerate(features)
            for (below, _), (above, _) in pairwise(feature.codes)
            if above - below > 1
        )

    def as_matrix(self, records: Sequence[PatientRecord]) -> Matrix:
        """Return the records' numbers as sent, (n, fields); null becomes NaN, and a label the position of its code."""
        values = chain.from_iterable(map(self._row, records))
        flat = np.fromiter(values, dtype=np.object_, count=len(records) * self.width)
        rows = flat.reshape(len(records), self.width)
        for column, codes in self._labels.items():
            rows[:, column] = [codes.get(label, np.inf) for label in rows[:, column]]
        return rows.astype(np.float64)

    def from_columns(self, columns: Mapping[str, Iterable[Any]]) -> Matrix:
        """Return columns by field as numbers, (n, fields), NaN for None; a label becomes the position of its code."""
        found = []
        for column, name in enumerate(self._table.names):
            codes = self._labels.get(column)
            values = columns[name]
            if codes is not None:
                values = [np.nan if value != value else codes.get(value, np.inf) for value in values]  # noqa: PLR0124  # NaN
            found.append(np.array(values, dtype=np.float64))
        return np.column_stack(found)

    def blank_missing(self, matrix: Matrix) -> None:
        """Replace numbers that mean "not measured" by NaN, in place."""
        for code, takes in self._takes_code.items():
            matrix[(matrix == code) & takes] = np.nan

    def convert(self, matrix: Matrix, coding: Coding) -> None:
        """Convert blanked rows of another coding to the table's, in place; invalid codes become infinite."""
        for name, codes in coding.codes.items():
            column = matrix[:, self._table.names.index(name)]
            ours = np.where(np.isnan(column), np.nan, np.inf)
            for code, meaning in codes.items():
                ours[column == code] = np.nan if meaning is None else meaning
            column[:] = ours

    def convert_rows(self, matrix: Matrix, codings: Mapping[int, str]) -> None:
        """Convert the rows with a declared coding, in place."""
        for name in set(codings.values()):
            rows = [row for row, its in codings.items() if its == name]
            ours = matrix[rows]
            self.convert(ours, self._table.coding_by_name[name])
            matrix[rows] = ours

    def legal_rows(self, matrix: Matrix) -> Mask:
        """Return, for each row of a blanked matrix, whether all values are valid and no required one is missing."""
        legal: Mask = (matrix >= self._low) & (matrix <= self._high)
        legal &= (matrix == np.floor(matrix)) | self._fractional
        legal |= np.isnan(matrix) & self._optional
        for column, low, high in self._gaps:
            values = matrix[:, column]
            legal[:, column] &= ~((values > low) & (values < high))
        rows: Mask = np.logical_and.reduce(legal, axis=1)
        return rows


def _row_of(names: Sequence[str]) -> Callable[[PatientRecord], Sequence[Any]]:
    row = attrgetter(*names)
    # For a single name it returns the value itself.
    return row if len(names) > 1 else lambda record: (row(record),)
