"""Finds the row boundaries of CSV by Arrow's rule: a quote counts only at the start of a cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_QUOTE: Final = b'"'


def row_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """Return a pattern that matches one row with its line ending."""
    inner = rb"[^%b\r\n]*+" % re.escape(delimiter)
    # Atomic groups, as repeats that are possessive and may fail midway match too much before Python 3.11.5 (gh-106052).
    # Two quotes are one of the text: the first of them never ends the cell.
    cell = rb'(?:(?>"[^"]*+(?>(?:""[^"]*+)*)")%b|(?!")%b)' % (inner, inner)
    return re.compile(rb"%b(?>(?:%b%b)*)(?:\r\n|\n|\r|\Z)" % (cell, re.escape(delimiter), cell))


def spans(text: bytes, row: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each row, up to one with an unclosed quote."""
    place = 0
    while place < len(text) and (found := row.match(text, place)):
        yield found.span()
        place = found.end()


def whole_rows(text: bytes, row: re.Pattern[bytes]) -> int:
    """Return the end of the last row that is complete however the text continues; 0 if there is none.

    Quotes usually come in pairs, and counting them is fast. If that finds no end, every row is matched.
    """
    end = text.rfind(b"\n")
    odd = text.count(_QUOTE, 0, end + 1) % 2
    while odd and end >= 0:
        before = text.rfind(b"\n", 0, end)
        odd ^= text.count(_QUOTE, before + 1, end + 1) % 2
        end = before
    if end >= 0:
        return end + 1
    # A carriage return at the very end may be half of a line ending.
    return max((stop for _, stop in spans(text, row) if stop < len(text) or text.endswith(b"\n")), default=0)


def open_quote(text: bytes, row: re.Pattern[bytes]) -> int | None:
    """Return the start of the row with an unclosed quote, None if there is none."""
    if text.count(_QUOTE) % 2 == 0:
        return None
    end = max((stop for _, stop in spans(text, row)), default=0)
    return end if end < len(text) else None


def count_rows(text: bytes, row: re.Pattern[bytes]) -> int:
    """Count the rows of a text without blank lines."""
    return sum(bool(text[start:end].strip(b"\r\n")) for start, end in spans(text, row))


def row_start(number: int, text: bytes, row: re.Pattern[bytes]) -> int:
    """Return the start of row `number`, counted from 1 without blank lines."""
    found = (start for start, end in spans(text, row) if text[start:end].strip(b"\r\n"))
    return next((start for place, start in enumerate(found, 1) if place == number), 0)
