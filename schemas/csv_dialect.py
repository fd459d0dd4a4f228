"""CSV dialect detection: delimiter, decimal mark and header.

It is detected once, from the start of the file; what is ambiguous there is not guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Final

import msgspec

from schemas.column_mapping import ColumnMapper
from schemas.errors import DataError
from schemas.read_options import TextOptions
from schemas.tables.feature_table import Feature, FeatureTable

SAMPLE_BYTES: Final = 1 << 16
_SAMPLE_ROWS: Final = 1_000
_COMPARED_ROWS: Final = 5
_SEPARATORS: Final = (",", ";", "\t", "|")
_SHOWN: Final = {"\t": "tabs", " ": "blanks"}
_DIRECTIVE: Final = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)
"""The line that defines the delimiter for Excel."""
_COMMA: Final = re.compile(r"-?[0-9]+,[0-9]+")
_POINT: Final = re.compile(r"-?[0-9]+\.[0-9]+")
_UNMEASURED: Final = frozenset({"?", "-9", ""})


class Dialect(msgspec.Struct, frozen=True):
    """The dialect of one file. With `is_published`, `header` is that of published files, which have none.

    `skipped` bytes precede the first line. `rows` are the first rows. `notes` describe differences from a plain CSV.
    """

    delimiter: str
    decimal: str
    header: tuple[str, ...]
    is_published: bool
    skipped: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


class DialectDetector:
    """Detects the dialect of files of one feature table."""

    def __init__(self, table: FeatureTable) -> None:
        self._mapper = ColumnMapper(table)
        self._names, self._title, self._outcome = table.names, table.title, table.outcome.column
        self._headerless = table.headerless
        self._published = (*table.names, table.outcome.column)
        self._codes = [(j, _codes(table, feature)) for j, feature in enumerate(table.features) if feature.required]
        self._classes = {value for coding in table.codings for value in coding.classes if isinstance(value, int)}

    def detect(self, sample: bytes, options: TextOptions) -> Dialect:
        """Detect the dialect of a file by its first bytes, which are UTF-8. Raises DataError.

        A first line that is neither a header nor a row of a published file is returned as a header; `ColumnMapper.map`
        rejects it.
        """
        skipped, delimiter, rows = _split(sample, options, self._delimiter)
        header = rows[0] if rows else ()
        is_published = not self._mapper.is_header(header) and self._is_published(rows)
        header, rows = (self._published, rows) if is_published else (header, rows[1:])
        decimal = options.decimal or self._decimal(header, rows)
        notes = tuple(self._notes(delimiter, decimal, is_published=is_published))
        return Dialect(delimiter, decimal, header, is_published, skipped, tuple(rows), notes)

    def _notes(self, delimiter: str, decimal: str, *, is_published: bool) -> Iterator[str]:
        if delimiter != ",":
            yield f"separated by {_SHOWN.get(delimiter, repr(delimiter))}"
        if decimal != ".":
            yield "with decimal commas"
        if is_published:
            yield (
                f"without a header, with the columns of {self._title}'s published files; the last one, "
                f"{self._outcome}, is not read"
            )

    def _delimiter(self, text: str) -> str:
        """Return the delimiter that yields most field names in the first line, or the columns of a published file."""
        found = {each: next(_rows(text, each), []) for each in (*_SEPARATORS, " ")}
        names = {each: len({self._mapper.field_of(cell) for cell in found[each]} - {None}) for each in _SEPARATORS}
        best = max(_SEPARATORS, key=lambda each: names[each])
        if names[best]:
            return best
        return next((each for each, row in found.items() if self._is_published([row])), ",")

    def _is_published(self, rows: Sequence[Sequence[str]]) -> bool:
        """Return whether rows are those of a published file: numbers, with valid required codes and outcome."""
        return self._headerless and bool(rows) and all(map(self._is_published_row, rows))

    def _is_published_row(self, row: Sequence[str]) -> bool:
        return (
            len(row) == len(self._published)
            and all(_number(cell) is not None or cell.strip() in _UNMEASURED for cell in row)
            and all(_number(row[place]) in codes for place, codes in self._codes if codes)
            and _number(row[-1]) in self._classes
        )

    def _decimal(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
        """Return the decimal mark of the numbers. Raises DataError if both marks are used."""
        places = [place for place, name in enumerate(header) if self._mapper.field_of(name) in self._names]
        return _decimal_mark([row[place] for row in rows for place in places if place < len(row)])


def detect_any(sample: bytes, options: TextOptions) -> Dialect:
    """Detect the dialect of a file of unknown columns with a header, in the same way. Raises DataError."""
    skipped, delimiter, rows = _split(sample, options, _likely_delimiter)
    header, rows = (rows[0], rows[1:]) if rows else ((), [])
    decimal = options.decimal or _decimal_mark([cell for row in rows for cell in row])
    return Dialect(delimiter, decimal, header, False, skipped, tuple(rows), ())


def _split(
    sample: bytes, options: TextOptions, delimiter_of: Callable[[str], str]
) -> tuple[int, str, list[tuple[str, ...]]]:
    """Return how many bytes precede the first line, the delimiter, and the first rows. Raises DataError."""
    directive = _DIRECTIVE.match(sample)
    skipped = directive.end() if directive else 0
    skipped += len(sample[skipped:]) - len(sample[skipped:].lstrip(b"\r\n"))
    text = sample[skipped:].decode(errors="replace")
    named = options.separator or (directive and directive[1].decode(errors="replace"))
    delimiter = named or delimiter_of(text)
    rows = [tuple(row) for row in islice(_rows(text, delimiter), _SAMPLE_ROWS)]
    if len(sample) >= SAMPLE_BYTES and len(rows) > 1:
        del rows[-1]  # It may be truncated.
    if any("\ufffd" in name for name in (rows[0] if rows else ())):
        raise DataError("its first line is not UTF-8; set --encoding, such as cp1252")
    return skipped, delimiter, rows


def _likely_delimiter(text: str) -> str:
    """Return the delimiter that yields most columns, if possible as many in each of the first rows."""

    def columns(delimiter: str) -> tuple[bool, int]:
        widths = [len(row) for row in islice(_rows(text, delimiter), _COMPARED_ROWS)] or [0]
        return {*widths} == {widths[0]} != {1}, widths[0]

    return max(_SEPARATORS, key=columns)


def _decimal_mark(cells: Sequence[str]) -> str:
    """Return the decimal mark of the numbers in cells. Raises DataError if both marks are used."""
    commas, points = (any(mark.fullmatch(cell.strip()) for cell in cells) for mark in (_COMMA, _POINT))
    if commas and points:
        raise DataError(
            "numbers have decimal commas in some rows and decimal points in others; set --decimal to accept one of "
            "them, and rows with the other are rejected"
        )
    return "," if commas else "."


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """Yield the rows that are not empty; the last one may be truncated."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter == " ")
    while True:
        try:
            row = next(reader)
        except (StopIteration, csv.Error):
            return
        if any(row):
            yield row


def _codes(table: FeatureTable, feature: Feature) -> set[int]:
    """Return the codes of a field in any coding."""
    others = (code for coding in table.codings for code in coding.codes.get(feature.name, ()))
    return {*(code for code, _ in feature.codes), *others}


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return None
