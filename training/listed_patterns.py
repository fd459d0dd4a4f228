"""Chooses the missing patterns that a model lists, for a table with more than ten optional fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from schemas.tables.feature_table import FeatureTable
from scoring.missingness import MissingPatterns
from scoring.preprocessing import PreprocessedColumns
from training.arrays import Matrix
from training.evaluation.repeated_cv import gap_sets_of
from training.evaluation.uncertainty import base_pattern

MOST_LISTED: Final = 1024
"""As many as ten optional fields have."""
FEWEST: Final = 160
"""Enough for all gaps that are evaluated, also without the fields of the base pattern."""
_MULTIPLICATIONS: Final = 2e9
"""Of rows, patterns and pairs of columns, for a step of a fit: some minutes for 200 bootstrap samples."""


def listed_patterns(matrix: Matrix, table: FeatureTable) -> tuple[int, ...]:
    """Return up to 1,024 patterns, fewer for many rows and fields; () if the tables list every pattern.

    First the gaps that are evaluated, then these with one field restored, for what to measure next; each field by
    itself, and the patterns of the training rows (n, fields), most frequent first; then these with one restored.
    """
    patterns = MissingPatterns(table)
    if patterns.are_all:
        return ()
    listed, base = {0}, base_pattern(matrix, patterns)
    pairs = len(PreprocessedColumns(table).field_of) ** 2 / 2
    most = min(MOST_LISTED, max(FEWEST, int(_MULTIPLICATIONS / (len(matrix) * pairs))))
    for pattern in _by_rank(matrix, table, patterns):
        # Intervals count a record as complete without the fields of the base pattern, which few training rows have.
        if len(listed) + 2 > most:
            break
        listed |= {pattern, pattern | base}
    return tuple(sorted(listed))


def _by_rank(matrix: Matrix, table: FeatureTable, patterns: MissingPatterns) -> Iterator[int]:
    bits = [1 << bit for bit in range(len(patterns.optional))]
    gaps = [patterns.without(fields) for fields in gap_sets_of(matrix, table).values()]
    found, counts = np.unique(patterns.of(matrix), return_counts=True)
    occurring = found[np.argsort(-counts, kind="stable")].tolist()
    yield from (0, *gaps)
    for pattern in gaps:
        yield from (pattern & ~bit for bit in bits)
    yield from bits
    yield from occurring
    for pattern in occurring:
        yield from (pattern & ~bit for bit in bits)
