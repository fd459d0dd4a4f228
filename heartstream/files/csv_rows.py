"""Where the rows of a CSV end, with Arrow's idea of quotes: they count only at the beginning of a cell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_QUOTE: Final = b'"'


def row_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """Return what matches one row with its end."""
    inner = rb"[^%b\r\n]*+" % re.escape(delimiter)
    cell = rb'(?:"(?:[^"]++|"")*+"%b|(?!")%b)' % (inner, inner)
    return re.compile(rb"%b(?:%b%b)*+(?:\r\n|\n|\r|\Z)" % (cell, re.escape(delimiter), cell))


def spans(text: bytes, row: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Yield where each row begins and ends, up to one with a quote that is not closed."""
    place = 0
    while place < len(text) and (found := row.match(text, place)):
        yield found.span()
        place = found.end()


def whole_rows(text: bytes, row: re.Pattern[bytes]) -> int:
    """Return where the last row ends that is whole, however the text goes on; 0 where none is.

    Quotes in pairs are the rule, and counting them is fast. Where that finds no end, each row is read.
    """
    end = text.rfind(b"\n")
    odd = text.count(_QUOTE, 0, end + 1) % 2
    while odd and end >= 0:
        before = text.rfind(b"\n", 0, end)
        odd ^= text.count(_QUOTE, before + 1, end + 1) % 2
        end = before
    if end >= 0:
        return end + 1
    # A carriage return at the very end may be half of a line's end.
    return max((stop for _, stop in spans(text, row) if stop < len(text) or text.endswith(b"\n")), default=0)


def open_quote(text: bytes, row: re.Pattern[bytes]) -> int | None:
    """Return where the row begins whose quote is not closed before the text ends; None where there is none."""
    if text.count(_QUOTE) % 2 == 0:
        return None
    end = max((stop for _, stop in spans(text, row)), default=0)
    return end if end < len(text) else None


def rows_in(text: bytes, row: re.Pattern[bytes]) -> int:
    """Count the rows of a text that are not blank lines."""
    return sum(bool(text[start:end].strip(b"\r\n")) for start, end in spans(text, row))


def place_of(number: int, text: bytes, row: re.Pattern[bytes]) -> int:
    """Return where a row begins, counted from 1 without blank lines."""
    found = (start for start, end in spans(text, row) if text[start:end].strip(b"\r\n"))
    return next((start for place, start in enumerate(found, 1) if place == number), 0)
