"""A feature table, compiled for scoring: how its records are read, and what they are as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from schemas.record_format import RecordFormat
from schemas.tables.feature_table import FeatureTable
from scoring.features import Matrix, MatrixFormat
from scoring.groups import PatientGroups
from scoring.missingness import MissingPatterns, PatternColumns, Patterns
from scoring.native_decoder import NativeDecoder
from scoring.preprocessing import PreprocessedColumns
from scoring.reference_cases import reference_cases


class CompiledTable:
    """What all batches of one feature table share: built once for a model, or once for a training run.

    `native` reads most records, if a scorer has set it, and `records` the others.
    """

    def __init__(self, table: FeatureTable, patterns: Iterable[int] = ()) -> None:
        """Compile `table`, with the missing `patterns` that a model lists (`MissingPatterns`). Takes a millisecond."""
        self.table = table
        self.records = RecordFormat(table)
        self.matrix = MatrixFormat(table)
        self.patterns = MissingPatterns(table, patterns)
        self.groups = PatientGroups(table)
        self.native: NativeDecoder | None = None

    @cached_property
    def columns(self) -> PreprocessedColumns:
        """The columns of preprocessed rows."""
        return PreprocessedColumns(self.table)

    @cached_property
    def pattern_columns(self) -> PatternColumns:
        """Which of these columns are missing in which pattern."""
        return PatternColumns(self.patterns, self.columns.field_of)

    @cached_property
    def reference_cases(self) -> Matrix:
        """The reference cases of this table; not to be modified."""
        return reference_cases(self.table)

    def cells_of(self, matrix: Matrix) -> Patterns:
        """Return each record's row (n,) in flattened tables of patterns and groups, for valid records (n, fields)."""
        return self.cells(self.patterns.of(matrix), matrix)

    def cells(self, patterns: Patterns, matrix: Matrix) -> Patterns:
        """Return the same if the missing patterns (n,) are known."""
        cells: Patterns = self.patterns.rows(patterns) * len(self.groups) + self.groups.of(matrix)
        return cells
