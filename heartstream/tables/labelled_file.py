"""The columns of a labelled file whose feature table does not exist yet, each as the number of rows by cell."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from heartstream.files.input_file import RawFile, data_errors, read_errors
from schemas.csv_cells import json_number, missing_markers
from schemas.csv_dialect import SAMPLE_BYTES, Dialect, detect_any
from schemas.errors import DataError
from schemas.read_options import TextOptions
from schemas.text_encoding import Utf8Text

MOST_ROWS: Final = 100_000
"""The rows after these are not read: the distribution of values is known by then."""
_BLOCK_BYTES: Final = 1 << 20


class Column(msgspec.Struct, frozen=True):
    """A column: the number of rows by measured cell, and the number of rows without a measurement."""

    header: str
    cells: Counter[str]
    missing: int

    @property
    def rows(self) -> int:
        """The number of rows with a measurement."""
        return self.cells.total()


class LabelledFile(msgspec.Struct, frozen=True):
    """A file's columns, the number of rows, whether there are more rows, and the decimal mark of its numbers."""

    columns: tuple[Column, ...]
    rows: int
    has_more: bool
    decimal: str

    def number(self, cell: str) -> float | None:
        """Return the number in a cell, None for text."""
        found = json_number(cell.encode(), self.decimal.encode())
        return None if found is None else float(found)


def read_columns(path: Path, options: TextOptions) -> LabelledFile:
    """Read a CSV with a header; the path "-" is standard input.

    Raises DataError, without the content of cells, DependencyError, and SettingsError for invalid options.
    """
    options.check()
    with ExitStack() as closing, read_errors(path), data_errors(path):
        text = Utf8Text(RawFile(path, closing).content, options.encoding)
        sample = _sample(text)
        dialect = detect_any(sample, options)
        _check_header(dialect)
        return _counted(dialect, _lines(sample[dialect.skipped :], text), missing_markers(options))


def _sample(text: Utf8Text) -> bytes:
    sample = b""
    while len(sample) < SAMPLE_BYTES and (part := text.read(SAMPLE_BYTES)):
        sample += part
    return sample


def _check_header(dialect: Dialect) -> None:
    numbers = [name for name in dialect.header if json_number(name.strip().encode(), dialect.decimal.encode())]
    if len(dialect.header) < 2:  # noqa: PLR2004  # a field and the outcome
        raise DataError("it has less than two columns; set --delimiter if they are not separated correctly")
    if len(numbers) * 2 >= len(dialect.header):
        raise DataError("it needs a header: most cells of its first line are numbers")


def _lines(first: bytes, text: Utf8Text) -> Iterator[str]:
    """Yield the lines of a text, with their ends."""
    rest, part = b"", first
    while part:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield _decoded(line) + "\n"
        part = text.read(_BLOCK_BYTES)
    yield _decoded(rest)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise DataError("it is not UTF-8 text; set --encoding, such as cp1252") from None


def _counted(dialect: Dialect, lines: Iterator[str], markers: Mapping[str, str]) -> LabelledFile:
    width = len(dialect.header)
    counts = [Counter[str]() for _ in range(width)]
    rows = _rows(lines, dialect.delimiter)
    next(rows, None)  # The header.
    number = 0
    for number, row in enumerate(islice(rows, MOST_ROWS), 1):
        if len(row) != width:
            raise DataError(f"row {number} has {len(row)} cells where {width} are expected")
        for count, cell in zip(counts, row, strict=True):
            count[cell.strip()] += 1
    columns = (_column(name, count, markers) for name, count in zip(dialect.header, counts, strict=True))
    return LabelledFile(tuple(columns), number, next(rows, None) is not None, dialect.decimal)


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[Sequence[str]]:
    """Yield the rows that have a cell that is not empty."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter == " ")
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise DataError(f"line {reader.line_num} is not CSV") from None
        if any(cell.strip() for cell in row):
            yield row


def _column(header: str, cells: Counter[str], markers: Mapping[str, str]) -> Column:
    measured = Counter({cell: count for cell, count in cells.items() if cell and cell.casefold() not in markers})
    return Column(" ".join(header.split()), measured, cells.total() - measured.total())
