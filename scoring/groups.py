"""Patient groups, for which uncertainty is measured separately.

They are defined by required fields, so every record has a group, whatever else is missing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.tables.feature_table import FeatureTable
from scoring.features import Matrix

Groups = npt.NDArray[np.intp]
Codes = npt.NDArray[np.int64]

ALL_PATIENTS: Final = "all patients"
"""The only group of a table that defines none."""


class PatientGroups:
    """The groups of a feature table, by name."""

    def __init__(self, table: FeatureTable) -> None:
        self.names = tuple(group.name for group in table.groups) or (ALL_PATIENTS,)
        self._where = [
            [(table.names.index(name), np.array(codes)) for name, codes in group.where.items()]
            for group in table.groups
        ]

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.names)

    def similar(self, group: int) -> list[int]:
        """Return the groups with the same values of the last field that defines them, if that is not the only one."""
        if not self._where or len(self._where[group]) == 1:
            return [group]
        own = self._where[group][-1]
        return [index for index, where in enumerate(self._where) if _equal(where[-1], own)]

    def of(self, matrix: Matrix) -> Groups:
        """Return each record's index (n,) in `names`, for valid records (n, fields)."""
        groups = np.zeros(len(matrix), dtype=np.intp)
        # Each record is in exactly one group, so the first is that of all records in no other.
        for index, where in enumerate(self._where[1:], start=1):
            within = np.ones(len(matrix), dtype=np.bool_)
            for column, codes in where:
                within &= (matrix[:, column, None] == codes).any(axis=1)
            groups[within] = index
        return groups


def _equal(one: tuple[int, Codes], other: tuple[int, Codes]) -> bool:
    return one[0] == other[0] and set(one[1].tolist()) == set(other[1].tolist())
