"""Parsing of text cells: a JSON number, None if the value was not measured, or the text unchanged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from schemas.read_options import TextOptions
from schemas.tables.feature_table import Feature, FeatureTable
from schemas.tables.names import normalized_word

NA_VALUES: Final = ("NA", "N/A", "#N/A", "NaN", "?", "None", "NULL", ".")
NUMBER: Final = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SHORT: Final = {mark: re.compile(rb"(-?)([0-9]*)%b([0-9]*)" % re.escape(mark)) for mark in (b".", b",")}
"""A number whose 0 before or after the decimal mark may be omitted, as in UCI's own files."""


def json_number(cell: bytes, mark: bytes) -> bytes | None:
    """Return a number with this decimal mark as JSON has it; None if the cell is not a number."""
    if _is_plain(cell, mark):
        return cell
    found = _SHORT[mark].fullmatch(cell)
    if found is None or not (found[2] or found[3]):
        return None
    number = b"%b%b.%b" % (found[1], found[2] or b"0", found[3] or b"0")
    return number if NUMBER.fullmatch(number) else None


def _is_plain(cell: bytes, mark: bytes) -> bool:
    return NUMBER.fullmatch(cell) is not None and (mark == b"." or b"." not in cell)


def missing_markers(options: TextOptions) -> Mapping[str, str]:
    """Return the cells that mean "not measured", by their case-folded text."""
    markers = NA_VALUES if options.na_values is None else tuple(options.na_values.split(","))
    return {marker.strip().casefold(): marker.strip() for marker in markers}


class CellReader:
    """Reads the cells of one file. Words for numbers are accepted only if the file is in the table's own coding.

    `missing` and `words` count, by marker and by field, the cells that were interpreted; `notes` describes them.
    """

    def __init__(self, table: FeatureTable, decimal: str, options: TextOptions, coding: str | None) -> None:
        """`decimal` is the decimal mark of the file, `coding` the coding given by the user."""
        self._markers = missing_markers(options)
        self._mark = decimal.encode()
        self._names = table.names
        self.labelled = frozenset(feature.name for feature in table.features if feature.labels)
        is_own = coding in {None, table.own_coding}
        readable = [each for each in table.features if is_own or each.labels]
        self._texts = _words(readable)
        # The table's "none" is a code, unless the user says that it is not.
        own = {each.name: {text.casefold() for _, texts in each.texts for text in texts} for each in readable}
        self._own_texts = own if options.na_values is None else {}
        self.missing = Counter[str]()
        self.words = Counter[str]()

    def is_plain(self, cell: bytes) -> bool:
        """Return whether a cell is a number that needs no interpretation in a field of numbers."""
        return _is_plain(cell, self._mark)

    def read(self, field: str, cell: bytes, count: int = 1) -> bytes | None:
        """Return the value of a cell that `count` rows share; text that is not a number is returned unchanged."""
        bare = cell.strip()
        if not bare:
            return None
        if field in self.labelled:
            return self._word(field, bare, count)
        return json_number(bare, self._mark) or self._word(field, bare, count)

    def _word(self, field: str, cell: bytes, count: int) -> bytes | None:
        try:
            text = cell.decode()
        except UnicodeDecodeError:
            return cell
        marker = self._markers.get(text.casefold())
        if marker is not None and text.casefold() not in self._own_texts.get(field, ()):
            self.missing[marker] += count
            return None
        if (code := self._texts.get(field, {}).get(normalized_word(text))) is not None:
            if code != cell:
                self.words[field] += count
            return code
        # With decimal commas 1.234 may be a thousand: it must not pass for a number.
        return b" %b" % cell if NUMBER.fullmatch(cell) and field not in self.labelled else cell

    def notes(self) -> list[str]:
        """Describe the interpreted cells."""
        found = []
        if self.missing:
            found.append(f"not measured: {', '.join(sorted(self.missing))}")
        if self.words:
            found.append(f"words for codes in {', '.join(name for name in self._names if self.words[name])}")
        return found


def _words(features: Sequence[Feature]) -> Mapping[str, Mapping[str, bytes]]:
    """Return the codes of each field by their words, as a record has them."""
    return {
        feature.name: {
            normalized_word(text): feature.labels[code].encode() if feature.labels else b"%d" % code
            for code, texts in feature.texts
            for text in texts
        }
        for feature in features
    }
