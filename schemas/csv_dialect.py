"""CSV dialect detection: delimiter, decimal mark and header.

It is detected once, from the start of the file; what is ambiguous there is not guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import islice
from typing import Final

import msgspec

from schemas.column_mapping import field_of, is_header
from schemas.errors import DataError
from schemas.features import FEATURE_NAMES
from schemas.read_options import TextOptions

OUTCOME: Final = "num"
PUBLISHED_COLUMNS: Final = (*FEATURE_NAMES, OUTCOME)
"""The columns of UCI's published files, which have no header."""
SAMPLE_BYTES: Final = 1 << 16
_SAMPLE_ROWS: Final = 1_000
_SEPARATORS: Final = (",", ";", "\t", "|")
_SHOWN: Final = {"\t": "tabs", " ": "blanks"}
_DIRECTIVE: Final = re.compile(rb"sep=(.)\r?\n", re.IGNORECASE)
"""The line that defines the delimiter for Excel."""
_COMMA: Final = re.compile(r"-?[0-9]+,[0-9]+")
_POINT: Final = re.compile(r"-?[0-9]+\.[0-9]+")
_UNMEASURED: Final = frozenset({"?", "-9", ""})
_SEX, _HIGHEST_OUTCOME = FEATURE_NAMES.index("sex"), 4


class Dialect(msgspec.Struct, frozen=True):
    """The dialect of one file. With `is_published`, `header` is that of UCI's published files, which have none.

    `skipped` bytes precede the first line. `rows` are the first rows. `notes` describe differences from a plain CSV.
    """

    delimiter: str
    decimal: str
    header: tuple[str, ...]
    is_published: bool
    skipped: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def detect_dialect(sample: bytes, options: TextOptions) -> Dialect:
    """Detect the dialect of a file by its first bytes, which are UTF-8. Raises DataError.

    A first line that is neither a header nor a row of UCI's files is returned as a header; `map_columns` rejects it.
    """
    directive = _DIRECTIVE.match(sample)
    skipped = directive.end() if directive else 0
    skipped += len(sample[skipped:]) - len(sample[skipped:].lstrip(b"\r\n"))
    text = sample[skipped:].decode(errors="replace")
    named = options.separator or (directive and directive[1].decode(errors="replace"))
    delimiter = named or _delimiter(text)
    rows = [tuple(row) for row in islice(_rows(text, delimiter), _SAMPLE_ROWS)]
    if len(sample) >= SAMPLE_BYTES and len(rows) > 1:
        del rows[-1]  # It may be truncated.
    header = rows[0] if rows else ()
    if any("\ufffd" in name for name in header):
        raise DataError("its first line is not UTF-8; set --encoding, such as cp1252")
    is_published = not is_header(header) and _is_published(rows)
    header, rows = (PUBLISHED_COLUMNS, rows) if is_published else (header, rows[1:])
    decimal = options.decimal or _decimal(header, rows)
    notes = tuple(_notes(delimiter, decimal, is_published=is_published))
    return Dialect(delimiter, decimal, header, is_published, skipped, tuple(rows), notes)


def _notes(delimiter: str, decimal: str, *, is_published: bool) -> Iterator[str]:
    if delimiter != ",":
        yield f"separated by {_SHOWN.get(delimiter, repr(delimiter))}"
    if decimal != ".":
        yield "with decimal commas"
    if is_published:
        yield f"without a header, with the columns of UCI's published files; the last one, {OUTCOME}, is not read"


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


def _delimiter(text: str) -> str:
    """Return the delimiter that yields most field names in the first line, or the 14 columns of UCI's files."""
    found = {each: next(_rows(text, each), []) for each in (*_SEPARATORS, " ")}
    names = {each: len({field_of(cell) for cell in found[each]} - {None}) for each in _SEPARATORS}
    best = max(_SEPARATORS, key=lambda each: names[each])
    if names[best]:
        return best
    return next((each for each, row in found.items() if _is_published([row])), ",")


def _is_published(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether rows are those of UCI's files: 14 numbers, with valid sex and outcome."""
    return bool(rows) and all(
        len(row) == len(PUBLISHED_COLUMNS)
        and all(_is_number(cell) or cell.strip() in _UNMEASURED for cell in row)
        and _is_number(row[_SEX])
        and float(row[_SEX].replace(",", ".")) in {0, 1}
        and _is_number(row[-1])
        and float(row[-1].replace(",", ".")) in range(_HIGHEST_OUTCOME + 1)
        for row in rows
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _decimal(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the decimal mark of the numbers. Raises DataError if both marks are used."""
    places = [place for place, name in enumerate(header) if field_of(name) in FEATURE_NAMES]
    cells = [row[place].strip() for row in rows for place in places if place < len(row)]
    commas, points = (any(map(mark.fullmatch, cells)) for mark in (_COMMA, _POINT))
    if commas and points:
        raise DataError(
            "numbers have decimal commas in some rows and decimal points in others; set --decimal to accept one of "
            "them, and rows with the other are rejected"
        )
    return "," if commas else "."
