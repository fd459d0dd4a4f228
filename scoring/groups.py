"""Patient groups, for which uncertainty is measured separately.

They are defined by required fields, so every record has a group, whatever else is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.tables.feature_table import FeatureTable
from scoring.features import Matrix

Groups = npt.NDArray[np.intp]

ALL_PATIENTS: Final = "all patients"
"""The only group of a table that defines none."""


class PatientGroups:
    """The groups of a feature table, by name."""

    def __init__(self, table: FeatureTable) -> None:
        self.names = tuple(group.name for group in table.groups) or (ALL_PATIENTS,)
        self._where = [
            [(table.names.index(name), frozenset(codes)) for name, codes in group.where.items()]
            for group in table.groups
        ]
        self._columns, self._positions, self._group_of = self._lookup(table)
        self._first = self._positions.shape[1] * np.arange(len(self._columns))

    def _lookup(self, table: FeatureTable) -> tuple[list[int], Groups, Groups]:
        """Return the columns that define the groups, and the group of each combination of their codes.

        The positions (columns, codes) of a combination's codes add up to its place in the groups (combinations,).
        """
        columns = sorted({column for where in self._where for column, _ in where})
        codes = [[code for code, _ in table.features[column].codes] for column in columns]
        positions = np.zeros((len(columns), max((1 + max(its) for its in codes), default=1)), dtype=np.intp)
        for row, its in enumerate(codes):
            positions[row, its] = np.arange(len(its)) * prod(map(len, codes[row + 1 :]))
        combinations = (dict(zip(columns, each, strict=True)) for each in product(*codes))
        return columns, positions, np.array([self._group(each) for each in combinations], dtype=np.intp)

    def _group(self, codes: Mapping[int, int]) -> int:
        """Return the group of patients with these codes, by column: the table's checks ensure that there is one."""
        found = (place for place, where in enumerate(self._where) if all(codes[column] in its for column, its in where))
        return next(found, 0)

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.names)

    def similar(self, group: int) -> list[int]:
        """Return the groups with the same values of the last field that defines them, if that is not the only one."""
        if not self._where or len(self._where[group]) == 1:
            return [group]
        own = self._where[group][-1]
        return [index for index, where in enumerate(self._where) if where[-1] == own]

    def of(self, matrix: Matrix) -> Groups:
        """Return each record's index (n,) in `names`, for valid records (n, fields)."""
        if not self._columns:
            return np.zeros(len(matrix), dtype=np.intp)
        codes = matrix.take(self._columns, axis=1).astype(np.intp) + self._first
        groups: Groups = self._group_of.take(self._positions.take(codes).sum(axis=1))
        return groups
