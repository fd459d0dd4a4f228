"""Patient records as numbers: an (n, 13) float64 matrix, in feature-table order, NaN where not measured.

The vectorized equivalent of `schemas.validation`: it accepts no row that the slow path would reject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.codings import CODINGS, Coding
from schemas.features import FEATURE_NAMES, FEATURES
from schemas.records import PatientRecord

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_row: Final = attrgetter(*FEATURE_NAMES)
_LOW: Final = np.array([feature.interval[0] for feature in FEATURES])
_HIGH: Final = np.array([feature.interval[1] for feature in FEATURES])
_FRACTIONAL: Final = np.array([not feature.whole for feature in FEATURES])
_OPTIONAL: Final = np.array([not feature.required for feature in FEATURES])
_MISSING_CODES: Final = sorted({code for feature in FEATURES for code in feature.missing})
_TAKES_CODE: Final = {code: np.array([code in feature.missing for feature in FEATURES]) for code in _MISSING_CODES}
_GAPS: Final = tuple(
    (j, below, above)
    for j, feature in enumerate(FEATURES)
    for (below, _), (above, _) in pairwise(feature.codes)
    if above - below > 1
)
"""Columns whose codes are not consecutive, with the codes on either side of each gap."""


def as_matrix(records: Sequence[PatientRecord]) -> Matrix:
    """Return the records' numbers as sent, (n, 13); null becomes NaN."""
    numbers = chain.from_iterable(map(_row, records))
    flat = np.fromiter(numbers, dtype=np.object_, count=len(records) * len(FEATURE_NAMES))
    return flat.astype(np.float64).reshape(len(records), len(FEATURE_NAMES))


def blank_missing(matrix: Matrix) -> None:
    """Replace numbers that mean "not measured" by NaN, in place."""
    for code, takes in _TAKES_CODE.items():
        matrix[(matrix == code) & takes] = np.nan


def convert(matrix: Matrix, coding: Coding) -> None:
    """Convert blanked rows of another coding to UCI's, in place; invalid codes become infinite."""
    for name, codes in coding.codes.items():
        column = matrix[:, FEATURE_NAMES.index(name)]
        ours = np.where(np.isnan(column), np.nan, np.inf)
        for code, meaning in codes.items():
            ours[column == code] = np.nan if meaning is None else meaning
        column[:] = ours


def convert_rows(matrix: Matrix, codings: Mapping[int, str]) -> None:
    """Convert the rows with a declared coding, in place."""
    for name in set(codings.values()):
        rows = [row for row, its in codings.items() if its == name]
        ours = matrix[rows]
        convert(ours, CODINGS[name])
        matrix[rows] = ours


def legal_rows(matrix: Matrix) -> Mask:
    """Return, for each row of a blanked matrix, whether all values are valid and no required one is missing."""
    legal: Mask = (matrix >= _LOW) & (matrix <= _HIGH)
    legal &= (matrix == np.floor(matrix)) | _FRACTIONAL
    legal |= np.isnan(matrix) & _OPTIONAL
    for column, low, high in _GAPS:
        values = matrix[:, column]
        legal[:, column] &= ~((values > low) & (values < high))
    rows: Mask = np.logical_and.reduce(legal, axis=1)
    return rows
