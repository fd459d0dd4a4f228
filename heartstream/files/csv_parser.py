"""Arrow's CSV parser, for blocks of whole rows in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.csv

from heartstream.files.csv_rows import row_pattern, spans
from schemas.column_mapping import ColumnMapping
from schemas.csv_dialect import Dialect
from schemas.tables.feature_table import PATIENT_ID

_CELLS: Final = pa.dictionary(pa.int32(), pa.string())


class CsvParser:
    """Parses the rows of one file whose columns are known. `row` matches one row."""

    def __init__(self, dialect: Dialect, plan: ColumnMapping, columns: Sequence[str]) -> None:
        """`columns` are the id and the fields."""
        # Arrow handles SIGINT itself while it parses, and loses it if the block is parsed before it checks.
        pa.enable_signal_handlers(False)
        delimiter = dialect.delimiter.encode()
        self.row = row_pattern(delimiter)
        self._names = [f"#{place}" for place in range(len(dialect.header))]
        wanted = [name for name, place in zip(columns, plan.places, strict=True) if place is not None]
        for name in wanted:
            self._names[plan.places[columns.index(name)] or 0] = name
        self._delimiter = dialect.delimiter
        self._converting = pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types={name: pa.string() if name == PATIENT_ID else _CELLS for name in wanted},
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        self._blank_start = delimiter * (len(dialect.header) - 1)
        blank = rb"[ ]*(?:%b[ ]*){%d}(?:\r?\n|\r|\Z)" % (re.escape(delimiter), len(dialect.header) - 1)
        self._blank = re.compile(rb"^" + blank, re.MULTILINE)

    def first_row(self, text: bytes, dialect: Dialect) -> int:
        """Return the offset of the first row, after the header if there is one."""
        if dialect.is_published:
            return dialect.skipped
        return dialect.skipped + next((end for _, end in spans(text[dialect.skipped :], self.row)), 0)

    def without_blank_rows(self, block: bytes) -> tuple[bytes, int]:
        """Drop rows of empty cells, which spreadsheets write below a table; returns how many there were."""
        if not self._blank_start or not (block.startswith(self._blank_start) or b"\n" + self._blank_start in block):
            return block, 0
        return self._blank.subn(b"", block)

    def parsed(self, block: bytes) -> tuple[pa.Table | None, pyarrow.csv.InvalidRow | None]:
        """Return the rows; or None if they are not CSV, and the malformed row if it is known."""
        wrong: list[pyarrow.csv.InvalidRow] = []

        def on_invalid(row: pyarrow.csv.InvalidRow) -> str:
            wrong.append(row)
            return "error"

        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(block),
                pyarrow.csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=self._names),
                pyarrow.csv.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=on_invalid
                ),
                self._converting,
            )
        except (pa.ArrowException, UnicodeDecodeError):
            # Its message holds cells.
            return None, wrong[0] if wrong else None
        return table, None
