"""The outcome's column of a labelled file, and which of its values are positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from heartstream.tables.labelled_file import Column, LabelledFile
from schemas.errors import DataError
from schemas.tables.names import normalized

_NAMES: Final = (
    *("outcome", "target", "label", "class", "event", "death", "dead", "died", "death event", "mortality", "status"),
    *("diagnosis", "disease", "num", "condition", "fstat", "readmitted", "y"),
)
_POSITIVE: Final = frozenset({"yes", "y", "true", "t", "positive", "pos", "case", "dead", "died", "present", "ill"})
_NEGATIVE: Final = frozenset(
    {"0", "no", "n", "false", "f", "negative", "neg", "normal", "healthy", "alive", "absent", "control", "none"}
)
_BEGINNINGS: Final = ("outcome", "died", "death", "dead", "mortality", "target")
_MOST_VALUES: Final = 10


class DraftedOutcome(msgspec.Struct, frozen=True):
    """The outcome's column; `is_guess` says that nobody named it."""

    column: Column
    positive: tuple[int | str, ...]
    negative: tuple[int | str, ...]
    is_guess: bool

    @property
    def positives(self) -> int:
        """The number of rows with a positive outcome."""
        wanted = set(map(str, self.positive))
        return sum(rows for cell, rows in self.column.cells.items() if str(_value(cell)) in wanted)


def find_outcome(file: LabelledFile, wanted: str | None) -> DraftedOutcome:
    """Return the outcome in the column that is `wanted`, or in one with a usual name. Raises DataError."""
    column = _column(file.columns, wanted)
    values = sorted({_value(cell) for cell in column.cells}, key=lambda value: (isinstance(value, str), value))
    if not 2 <= len(values) <= _MOST_VALUES:  # noqa: PLR2004  # positive and negative
        raise DataError(f"the outcome needs 2 to {_MOST_VALUES} values, and column {column.header} has {len(values)}")
    words = {value: normalized(str(value)) for value in values}
    positive = [value for value, word in words.items() if word in _POSITIVE]
    if negative := [value for value, word in words.items() if word in _NEGATIVE]:
        positive = [value for value in values if value not in negative]
    if len(positive) in {0, len(values)}:
        positive = [min(values, key=lambda value: sum(n for cell, n in column.cells.items() if _value(cell) == value))]
    others = tuple(value for value in values if value not in positive)
    return DraftedOutcome(column, tuple(positive), others, is_guess=wanted is None)


def _column(columns: Sequence[Column], wanted: str | None) -> Column:
    if wanted is not None:
        exact = [column for column in columns if column.header == wanted]
        alike = [column for column in columns if normalized(column.header) == normalized(wanted) != ""]
        if len(found := exact or alike) == 1:
            return found[0]
        raise DataError(f"--outcome: {'no' if not found else 'more than one'} column has this name")
    usual = [column for name in _NAMES for column in columns if normalized(column.header) == normalized(name)]
    usual += [column for column in columns if normalized(column.header).startswith(_BEGINNINGS)]
    usable = [column for column in usual if 2 <= len(column.cells) <= _MOST_VALUES]  # noqa: PLR2004  # as above
    if not usable:
        raise DataError("no column has the usual name of an outcome; set --outcome COLUMN")
    return usable[0]


def _value(cell: str) -> int | str:
    """Return a whole number as such."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return int(number) if number.is_integer() else cell
