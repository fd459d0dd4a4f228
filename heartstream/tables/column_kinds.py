"""What a column of a labelled file seems to be: a field of some kind, or nothing that a model can use."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from typing import Final, Literal

import msgspec

from heartstream.tables.labelled_file import Column
from heartstream.tables.limits import limits_of, stands_out
from schemas.tables.feature_checks import HIGHEST_CODE
from schemas.tables.names import normalized, normalized_word
from schemas.tables.toml_specs import FLAG_TEXTS

MOST_TEXTS: Final = 20
MOST_NUMBERS: Final = 10
_LONGEST_TEXT: Final = 40
_ROWS_PER_CODE: Final = 3
_MOST_ODD: Final = 0.1
"""The share of texts up to which a column is one of numbers."""
_LEAST_ROWS: Final = 20
_FIRST_NUMBERS: Final = (0, 1)
_LEAST_RUN, _LEAST_ID = 1_000, 1_000_000
_IDS: Final = frozenset({"id", "patientid", "subjectid", "caseid", "mrn", "pid", "recordid", "rownames", "index"})
_DATE: Final = re.compile(
    r"\d{4}-\d\d?-\d\d?([ T].*)?|\d\d?[./-]\d\d?[./-](\d{4}|\d\d)([ T].*)?|\d\d?-[A-Za-z]{3}-\d{2,4}"
)
_NO_YES: Final = tuple(words for _, words in FLAG_TEXTS)


class Unused(msgspec.Struct, frozen=True):
    """A column that is not a field, and why."""

    header: str
    why: str


class Drafted(msgspec.Struct, frozen=True):
    """A column as a field. `suspects` are numbers that may mean "not measured", with their rows.

    `limits` and `typical` are those of a quantity. `codes` are numbers, or texts in their commonest spelling. `odd` are
    the rows whose cell is a text among numbers.
    """

    column: Column
    kind: Literal["quantity", "code", "flag"]
    codes: tuple[int, ...] | tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    typical: float | str = 0
    whole: bool = False
    suspects: tuple[tuple[int, int], ...] = ()
    odd: int = 0

    @property
    def gaps(self) -> int:
        """The number of rows that may lack a measurement."""
        return self.column.missing + self.odd + sum(rows for _, rows in self.suspects)


def kind_of(column: Column, numbers: Mapping[str, float | None]) -> Drafted | Unused:
    """Return what a column is; `numbers` are those in its cells, None for texts."""
    counts = Counter[float]()
    for cell, rows in column.cells.items():
        if (number := numbers[cell]) is not None:
            counts[number] += rows
    odd = column.rows - counts.total()
    if not column.cells:
        return Unused(column.header, "has no values")
    if len(column.cells) == 1:
        return Unused(column.header, "has one value")
    if all(map(_DATE.fullmatch, column.cells)):
        return Unused(column.header, "dates")
    if normalized(column.header) in _IDS or _identifies(column, counts):
        return Unused(column.header, "identifies rows")
    return _of_numbers(column, counts, odd) if odd <= _MOST_ODD * column.rows else _of_texts(column)


def _identifies(column: Column, counts: Counter[float]) -> bool:
    """Return whether all rows differ as ids do: texts, row numbers, or long whole numbers."""
    if column.rows < _LEAST_ROWS or len(column.cells) < column.rows:
        return False
    if counts.total() < column.rows:
        return not counts
    lowest, highest = min(counts), max(counts)
    is_run = highest - lowest == len(counts) - 1 and (lowest in _FIRST_NUMBERS or lowest >= _LEAST_RUN)
    return all(map(float.is_integer, counts)) and (is_run or lowest >= _LEAST_ID)


def _of_numbers(column: Column, counts: Counter[float], odd: int) -> Drafted | Unused:
    suspects = stands_out(counts)
    values = Counter({number: rows for number, rows in counts.items() if number not in suspects})
    if len(values) < 2:  # noqa: PLR2004  # a constant
        return Unused(column.header, "has one value, beside numbers that may mean missing")
    found = tuple((int(number), counts[number]) for number in sorted(suspects))
    codes = tuple(int(number) for number in sorted(values) if number.is_integer())
    commonest = int(values.most_common(1)[0][0])
    if codes == (0, 1) and len(values) == len(codes):
        return Drafted(column, "flag", codes, typical=commonest, suspects=found, odd=odd)
    if _are_codes(codes, values):
        return Drafted(column, "code", codes, typical=commonest, suspects=found, odd=odd)
    whole = len(codes) == len(values)
    limits = limits_of(values, suspects, whole=whole)
    typical = _median(values)
    return Drafted(column, "quantity", (), limits, math.floor(typical) if whole else typical, whole, found, odd)


def _are_codes(codes: tuple[int, ...], values: Counter[float]) -> bool:
    is_short = len(codes) == len(values) <= MOST_NUMBERS and values.total() >= _ROWS_PER_CODE * len(values)
    return is_short and codes[0] >= 0 and codes[-1] <= HIGHEST_CODE


def _median(values: Counter[float]) -> float:
    seen = 0
    for number in sorted(values):
        seen += values[number]
        if 2 * seen >= values.total():
            return number
    raise AssertionError("a column has values")


def _of_texts(column: Column) -> Drafted | Unused:
    spellings = _spellings(column.cells)
    words = sorted(spellings)
    if len(words) == 2 and all(word in its for word, its in zip(words, _NO_YES, strict=True)):  # noqa: PLR2004  # yes and no
        typical = int(spellings[words[1]].total() > spellings[words[0]].total())
        return Drafted(column, "flag", (0, 1), typical=typical)
    if len(words) < 2:  # noqa: PLR2004  # a constant
        return Unused(column.header, "has one value")
    is_short = len(words) <= MOST_TEXTS and column.rows >= _ROWS_PER_CODE * len(words)
    if not is_short or any(len(cell) > _LONGEST_TEXT for cell in column.cells):
        return Unused(column.header, f"free text ({len(words)} different values)")
    commonest = max(words, key=lambda word: spellings[word].total())
    texts = tuple(spellings[word].most_common(1)[0][0] for word in words)
    if all(map(str.isdecimal, texts)):
        return Unused(column.header, "numbers, with other characters in too many cells")
    return Drafted(column, "code", texts, typical=texts[words.index(commonest)])


def _spellings(cells: Counter[str]) -> dict[str, Counter[str]]:
    """Return the spellings of each text, which may differ in case and punctuation."""
    by_word = groupby(sorted(cells, key=normalized_word), key=normalized_word)
    return {word: Counter({cell: cells[cell] for cell in sorted(same)}) for word, same in by_word}
