"""CSV as Arrow batches: the dialect is detected once, rows are split into blocks here, and Arrow parses the blocks.

Arrow reads only from memory: its own read-ahead would call Python during interpreter shutdown, and abort.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from heartstream.files.batching import CSV_BATCH_BYTES
from heartstream.files.columns import Places, dictionary, indices_of, numbers_as_text
from heartstream.files.csv_parser import CsvParser
from heartstream.files.csv_rows import count_rows, open_quote, row_start, whole_rows
from heartstream.files.input_file import InputOptions, RawFile, data_errors, read_errors
from schemas.column_mapping import ColumnMapper, ColumnMapping
from schemas.csv_cells import CellReader
from schemas.csv_dialect import SAMPLE_BYTES, Dialect, DialectDetector
from schemas.errors import DataError
from schemas.read_options import ReadOptions
from schemas.tables.feature_table import PATIENT_ID, FeatureTable
from schemas.text_encoding import Utf8Text

_MOST_BYTES: Final = 1 << 23
"""A longer row has an unclosed quote, or is not CSV."""
_MOST_CELLS: Final = 1 << 16


class CsvRecords:
    """Delimiter-separated values, with a header or in the format of published files."""

    def __init__(self, path: Path, closing: ExitStack, table: FeatureTable, reading: InputOptions) -> None:
        """Open the file, detect its dialect, and report it. Raises DataError."""
        self._path, mapper = path, ColumnMapper(table)
        self._columns = mapper.columns
        self._file = RawFile(path, closing)
        self.total, self.done = self._file.total, self._file.done
        with read_errors(path), data_errors(path):
            self._text = Utf8Text(self._file.content, reading.options.encoding)
            self._rest = self._next_block()
            dialect = DialectDetector(table).detect(self._rest[:SAMPLE_BYTES], reading.options)
            plan = _plan(dialect, reading.options, mapper)
        self._cells = CellReader(table, dialect.decimal, reading.options, reading.coding)
        self._plain: set[bytes] = set()
        self._parser = CsvParser(dialect, plan, self._columns)
        self._offset = self._parser.first_row(self._rest, dialect)
        self._rest = self._rest[self._offset :]
        self._rows = self.blank_rows = 0
        sample = CellReader(table, dialect.decimal, reading.options, reading.coding)
        notes = [*self._text.notes, *dialect.notes, *plan.notes, *sample_notes(sample, dialect, plan, table.names)]
        reading.report(path, notes)

    @property
    def missing(self) -> dict[str, int]:
        """The number of cells read as not measured so far, by marker."""
        return dict(self._cells.missing)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of about half a megabyte. Raises DependencyError if the file changes meanwhile."""
        try:
            yield from self._blocks()
        except DataError:
            self._file.refuse_changed()
            raise
        self._file.refuse_changed()

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        first, rest, is_last = self._rest, b"", False
        while not is_last:
            with read_errors(self._path), data_errors(self._path):
                part, first = first or self._next_block(), b""
                is_last = not part
                text = rest + part
                end = self._end(text, is_last=is_last)
                block, rest = text[:end], text[end:]
                batch = self._batch(block)
            if batch is not None:
                yield batch

    def _next_block(self) -> bytes:
        """Read the text of one batch: a file gives the same blocks every time."""
        parts, size = [], 0
        while size < CSV_BATCH_BYTES and (part := self._text.read(CSV_BATCH_BYTES - size)):
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def _end(self, text: bytes, *, is_last: bool) -> int:
        """Return the end of the last complete row. Raises DataError for an unclosed quote."""
        if not is_last:
            if (end := whole_rows(text, self._parser.row)) or len(text) < _MOST_BYTES:
                return end
            start: int | None = 0
        elif (start := open_quote(text, self._parser.row)) is None:
            return len(text)
        row = self._rows + count_rows(text[:start], self._parser.row) + 1
        raise DataError(f"a quote in row {row}{self._byte(start or 0)} is not closed")

    def _batch(self, block: bytes) -> pa.RecordBatch | None:
        """Return the rows of a block, None if it has none. Raises DataError."""
        full, blank = self._parser.without_blank_rows(block)
        self.blank_rows += blank
        if not full.strip(b"\r\n"):
            self._offset += len(block)
            return None
        table, wrong = self._parser.parsed(full)
        if table is None:
            raise DataError(self._broken(wrong, block))
        columns = [
            self._read(name, table.column(name).combine_chunks()) if name in table.column_names else None
            for name in self._columns
        ]
        ids, *cells = columns
        ids = numbers_as_text(self._rows + 1, table.num_rows) if ids is None else ids
        self._rows += table.num_rows
        self._offset += len(block)
        return pa.RecordBatch.from_arrays([ids, *cells], self._columns)

    def _broken(self, wrong: pyarrow.csv.InvalidRow | None, block: bytes) -> str:
        """Describe where a row is malformed, without its content."""
        if wrong is None or wrong.number is None:
            return f"CSV after row {self._rows} cannot be read"
        start = row_start(wrong.number, block, self._parser.row)
        return (
            f"row {self._rows + wrong.number}{self._byte(start)} has {wrong.actual_columns} cells where "
            f"{wrong.expected_columns} are expected: no quotes around a cell that holds the delimiter, or a row that "
            "is cut?"
        )

    def _byte(self, start: int) -> str:
        """Return the byte offset in the file if it is known, which it is only for UTF-8."""
        return f" (byte {self._text.skipped + self._offset + start})" if self._text.encoding == "utf-8" else ""

    def _read(self, name: str, column: pa.Array) -> pa.Array:
        """Return a column whose cells are JSON numbers, null, or not numbers at all."""
        if name == PATIENT_ID:
            return column
        cells: list[bytes] = column.dictionary.cast(pa.binary()).to_pylist()
        if name in self._cells.labelled:
            return self._reread(name, cells, indices_of(column))
        if self._plain.issuperset(cells):
            return column
        if len(self._plain) > _MOST_CELLS:
            self._plain.clear()
        others = [cell for cell in cells if not self._cells.is_plain(cell)]
        self._plain.update({*cells}.difference(others))
        return self._reread(name, cells, indices_of(column)) if others else column

    def _reread(self, name: str, cells: list[bytes], places: Places) -> pa.DictionaryArray:
        """Convert each distinct cell to the value it stands for."""
        counts = np.bincount(places, minlength=len(cells)).tolist()
        found = [self._cells.read(name, cell, count) for cell, count in zip(cells, counts, strict=False)]
        distinct = {cell: place for place, cell in enumerate(dict.fromkeys(each for each in found if each is not None))}
        moved = [-1 if cell is None else distinct[cell] for cell in found]
        return dictionary([*distinct], np.array([*moved, -1])[places])


def _plan(dialect: Dialect, options: ReadOptions, mapper: ColumnMapper) -> ColumnMapping:
    """Map the fields to columns. Raises DataError with every problem of the header."""
    if dialect.is_published:
        if options.id_column is not None:
            raise DataError("--id-column names a column, and it has no header: --row-ids numbers the rows")
        return mapper.published
    found = mapper.map(dialect.header, options)
    if isinstance(found, list):
        raise DataError("; ".join(found))
    return found


def sample_notes(cells: CellReader, dialect: Dialect, plan: ColumnMapping, names: Sequence[str]) -> list[str]:
    """Return notes on cells of the first rows that are not plain numbers."""
    for row in dialect.rows:
        for name, place in zip(names, plan.places[1:], strict=True):
            if place is not None and place < len(row):
                cells.read(name, row[place].encode())
    return cells.notes()
