"""Options for reading files of columns; what is not given is detected from the start of the file."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import SettingsError

_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """The dialect of a text file.

    Attributes:
        delimiter: The delimiter of a CSV, such as ";" or tab; by default detected from the header.
        decimal: The decimal mark of a CSV, "." or ","; by default detected from the first rows.
        encoding: The encoding of a CSV or NDJSON, such as utf-16 or cp1252; by default that of the byte order mark,
            or UTF-8.
        na_values: The cells of a CSV that mean "not measured", in addition to empty ones, separated by commas; case is
            ignored. By default: NA, N/A, #N/A, NaN, ?, None, NULL and a full stop.
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    na_values: str | None = None

    def check(self) -> None:
        """Raise SettingsError with every problem."""
        if problems := self.problems():
            raise SettingsError(tuple(problems))

    def problems(self) -> list[str]:
        """Return all problems."""
        problems = []
        if len(self.separator or ",") != 1 or (self.separator or ",") in '"\r\n':
            problems.append('--delimiter must be one character, or "tab"')
        if self.decimal not in {None, ".", ","}:
            problems.append('--decimal must be "." or ","')
        elif self.decimal == "," == self.separator:
            problems.append("--delimiter and --decimal must differ")
        if self.encoding is not None and not _is_encoding(self.encoding):
            problems.append("--encoding must be the name of an encoding, such as utf-8, utf-16 or cp1252")
        return problems

    @property
    def separator(self) -> str | None:
        """The character that separates columns."""
        return None if self.delimiter is None else _DELIMITERS.get(self.delimiter.lower(), self.delimiter)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions(TextOptions):
    """The dialect of a file, and its columns.

    Attributes:
        id_column: The column of patient ids, if it is not patient_id.
        row_ids: Use row numbers as patient ids.
        ignore_columns: Columns to ignore, separated by commas.
        ignore_extra: Ignore all columns that are not fields of a patient record.
    """

    id_column: str | None = None
    row_ids: bool = False
    ignore_columns: str | None = None
    ignore_extra: bool = False

    def problems(self) -> list[str]:
        """Return all problems."""
        both = self.row_ids and self.id_column is not None
        return TextOptions.problems(self) + (["--row-ids and --id-column exclude each other"] if both else [])

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns to ignore."""
        return () if self.ignore_columns is None else tuple(self.ignore_columns.split(","))


def _is_encoding(name: str) -> bool:
    try:
        return "a".encode(name).decode(name) == "a"
    except (LookupError, ValueError):
        return False
