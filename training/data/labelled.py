"""Reads labelled patients from a user's file, strictly; an error lists all problems.

Files are parsed as by `heartstream score` (`schemas.csv_dialect`). Two formats are accepted: a header that names the
fields of the feature table and the outcome, or no header and the columns of published files. Codes and outcome of a
named coding are converted to the table's own.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from schemas.column_mapping import ColumnMapper
from schemas.csv_cells import NUMBER, CellReader
from schemas.csv_dialect import SAMPLE_BYTES, Dialect, DialectDetector
from schemas.errors import DataError, DependencyError
from schemas.read_options import TextOptions
from schemas.tables.feature_table import Coding, Feature, FeatureTable, OutcomeValue
from schemas.tables.names import normalized
from schemas.text_encoding import Utf8Text
from scoring.compiled_table import CompiledTable
from training.arrays import Matrix
from training.data.checks import foreign_codes, illegal_lines, other_classes, signs_of_a_copy
from training.data.frames import OUTCOME, SITE, features, target

_MAX_REPORTED: Final = 5

Row = tuple[int, list[str]]
"""A line's number and its cells."""


class OtherFieldsError(DataError):
    """A file without some of the table's fields: it may need another table."""


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Labelled patients: a frame with the columns of `training.data.frames`, and the SHA-256 of their file.

    `site` is the file's column of that name, or the file's name. `notes` describe how the file was interpreted.
    """

    frame: pd.DataFrame
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """The columns of a labelled file beside the fields.

    Attributes:
        outcome: The column of the outcome, if it is not that of the feature table; its values are the table's.
        site: The column of the hospital; by default "site", where there is one.
    """

    outcome: str | None = None
    site: str | None = None


def read_labelled(
    path: Path,
    compiled: CompiledTable,
    coding: str | None = None,
    options: TextOptions | None = None,
    columns: LabelColumns | None = None,
) -> LabelledData:
    """Read the patients. Raises DependencyError for an unreadable file, DataError with all problems of its content.

    `coding` names the coding of the file; without it the table's own is expected, and rows in another coding are
    refused. `options` describe the file format where it cannot be detected. Raises SettingsError for invalid options.
    """
    options, table = options or TextOptions(), compiled.table
    options.check()
    table.check_coding(coding)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    reader = _Reader(compiled, coding, options, columns or LabelColumns())
    try:
        parsed = reader.parse(raw)
        frame, sent, lines, problems = reader.frame(parsed, path.stem)
    except DataError as error:
        raise type(error)(f"{path.name}: {error}") from error
    matrix = features(frame)
    foreign = [] if coding else [*foreign_codes(matrix, compiled), *other_classes(frame, table)]
    if foreign:
        raise DataError(f"{path.name} must not be used: {'; '.join(foreign)}: name yours with --coding")
    problems += illegal_lines(matrix, sent, lines, compiled, coding)
    more = [f"and {len(problems) - _MAX_REPORTED} more such lines"] if len(problems) > _MAX_REPORTED else []
    reported = [*problems[:_MAX_REPORTED], *more, *signs_of_a_copy(matrix, target(frame), table)]
    if reported:
        raise DataError(f"{path.name} must not be used: {'; '.join(reported)}")
    return LabelledData(frame, hashlib.sha256(raw).hexdigest(), (*parsed.notes, *parsed.cells.notes()))


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A file's columns and rows, and the reader of its cells, with notes on its interpretation."""

    names: list[str]
    outcome: str
    classes: Mapping[OutcomeValue, int]
    rows: list[Row]
    cells: CellReader
    notes: tuple[str, ...]


class _Reader:
    """Reads labelled files of one feature table."""

    def __init__(
        self, compiled: CompiledTable, coding: str | None, options: TextOptions, columns: LabelColumns
    ) -> None:
        self._compiled, self._options, self._columns = compiled, options, columns
        self._table = compiled.table
        self._coding = self._table.coding_by_name[coding or self._table.own_coding]
        self._named = coding
        self._mapper = ColumnMapper(self._table)

    def parse(self, raw: bytes) -> _Parsed:
        """Parse the file. Raises DataError."""
        source = Utf8Text(BytesIO(raw), self._options.encoding)
        text = b"".join(iter(source.read, b""))
        dialect = DialectDetector(self._table).detect(text[:SAMPLE_BYTES], self._options)
        rows = _rows(text, dialect)
        header = rows[0][1] if rows else []
        names = [self._name(cell) for cell in header]
        outcomes = self._outcomes()
        if {*names}.isdisjoint(self._table.names):
            names = self._published(len(names), next(iter(outcomes)))
        else:
            rows = rows[1:]
        if problems := [*self._problems(names, outcomes), *([] if rows else ["it holds no patients"])]:
            others = not set(self._table.names) <= set(names)
            raise (OtherFieldsError if others else DataError)("; ".join(problems))
        outcome = next(name for name in outcomes if name in names)
        notes = (*source.notes, *dialect.notes, *self._renamed(names, header))
        cells = CellReader(self._table, dialect.decimal, self._options, self._named)
        return _Parsed(names, outcome, outcomes[outcome], rows, cells, notes)

    def _name(self, cell: str) -> str:
        """Return the field of a column, or its own name in lower case."""
        name = normalized(cell)
        if self._columns.outcome is not None and name == normalized(self._columns.outcome):
            return self._columns.outcome
        if self._columns.site is not None and name == normalized(self._columns.site):
            return SITE
        outcomes = (column for column in self._outcomes() if normalized(column) == name)
        return self._mapper.field_of(cell) or next(outcomes, cell.lower())

    def _published(self, columns: int, outcome: str) -> list[str]:
        """Return the names of the columns of a file without a header."""
        if not self._table.headerless and columns:
            none = f"almost none of its {columns} columns has the name of a field of {self._table.identifier}"
            raise OtherFieldsError(none)
        if columns not in {0, len(self._table.names) + 1}:
            raise OtherFieldsError(
                f"it has no header, and {columns} columns where {self._table.title}'s own files have "
                f"{len(self._table.names) + 1} (set --delimiter if they are not separated correctly)"
            )
        return [*self._table.names, outcome]

    def _problems(self, names: Sequence[str], outcomes: Mapping[str, object]) -> Iterator[str]:
        yield from (f"column {name} is missing" for name in self._table.names if name not in names)
        if outcomes.keys().isdisjoint(names):
            coded = " (set --coding if the data is in another coding)" if self._table.foreign_codings else ""
            yield f"there is no column {' or '.join(outcomes)}{coded}: --outcome names another"
        if self._columns.site is not None and SITE not in names:
            yield "--site: the column is missing"
        expected = (*self._table.names, *outcomes, SITE)
        yield from (f"column {name} appears twice" for name in expected if names.count(name) > 1)

    def _outcomes(self) -> Mapping[str, Mapping[OutcomeValue, int]]:
        """Return the possible columns of the outcome, in order of precedence, and the label of each value."""
        own, binary = self._table.outcome, self._table.outcome.binary_column
        binaries: dict[str, Mapping[OutcomeValue, int]] = {binary: {0: 0, 1: 1}} if binary else {}
        if self._columns.outcome is not None:
            return {self._columns.outcome: self._coding.classes}
        if self._coding.name == self._table.own_coding:
            return {own.column: own.classes, **binaries}
        return dict.fromkeys(dict.fromkeys((self._coding.outcome, own.column, *binaries)), self._coding.classes)

    def _renamed(self, names: Sequence[str], header: Sequence[str]) -> Iterator[str]:
        for field, name in zip(names, header, strict=False):
            if self._mapper.field_of(name) == field and name.lower() != field.lower():
                yield f'{field} is column "{name}"'

    def frame(self, parsed: _Parsed, site: str) -> tuple[pd.DataFrame, Matrix, list[int], list[str]]:
        """Read the cells; return valid patients, in the table's codes and as sent, with their lines, and all problems.

        Each problem describes another line.
        """
        lines, values, outcomes, sites, problems = [], [], [], [], []
        labels = {normalized(str(value)): value for value in parsed.classes}
        for line, row in parsed.rows:
            if len(row) != len(parsed.names):
                problems.append(f"line {line} has {len(row)} columns, expected {len(parsed.names)}")
                continue
            cells = dict(zip(parsed.names, row, strict=True))
            numbers = [
                _number(parsed.cells.read(each.name, cells[each.name].encode()), each) for each in self._features
            ]
            wrong = [_problem(each) for each, number in zip(self._features, numbers, strict=True) if number is None]
            outcome = _outcome(parsed, cells[parsed.outcome], labels)
            if outcome is None:
                wrong.append(f"{parsed.outcome} must be one of {', '.join(map(str, sorted(parsed.classes, key=str)))}")
            if wrong or outcome is None:
                problems.append(f"line {line}: {', '.join(wrong)}")
                continue
            lines.append(line)
            values.append(numbers)
            outcomes.append(outcome)
            sites.append(cells.get(SITE) or site)
        sent = np.array(values, dtype=np.float64).reshape(len(values), len(self._features))
        rules = self._compiled.matrix
        rules.blank_missing(sent)
        matrix = sent.copy()
        rules.convert(matrix, self._coding)
        frame = pd.DataFrame(matrix, columns=list(self._table.names))
        frame.insert(0, SITE, sites)
        frame[OUTCOME] = _outcome_numbers(outcomes, parsed.classes, self._coding, self._table)
        return frame, sent, lines, problems

    @property
    def _features(self) -> Sequence[Feature]:
        return self._table.features


def _rows(text: bytes, dialect: Dialect) -> list[Row]:
    """Return the non-empty rows. Raises DataError."""
    before = text[: dialect.skipped].count(b"\n")
    blanks = dialect.delimiter == " "
    try:
        lines = StringIO(text[dialect.skipped :].decode(), newline="")
        reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=blanks)
        found = [(before + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UnicodeDecodeError as error:
        raise DataError("it is not UTF-8; set --encoding, such as cp1252") from error
    except csv.Error as error:
        raise DataError("it is not a CSV") from error
    return [row for row in found if any(row[1])]


def _number(cell: bytes | None, feature: Feature) -> float | None:
    """Return the number of a cell, NaN if it is not measured, None if it is neither."""
    if cell is None:
        return float("nan")
    if feature.labels:
        label = cell.decode(errors="replace")
        return float(feature.labels.index(label)) if label in feature.labels else None
    number = float(cell) if NUMBER.fullmatch(cell) else float("inf")
    return number if isfinite(number) else None


def _problem(feature: Feature) -> str:
    return (
        f"{feature.name} is not one of {', '.join(feature.labels)}"
        if feature.labels
        else f"{feature.name} is not a number"
    )


def _outcome(parsed: _Parsed, cell: str, labels: Mapping[str, OutcomeValue]) -> OutcomeValue | None:
    """Return the value of the outcome that a cell has, None for another value."""
    read = parsed.cells.read(parsed.outcome, cell.encode())
    number = float(read) if read is not None and NUMBER.fullmatch(read) else None
    if number is not None and number.is_integer() and int(number) in parsed.classes:
        return int(number)
    found = labels.get(normalized(cell))
    return found if isinstance(found, str) else None


def _outcome_numbers(
    outcomes: Sequence[OutcomeValue], classes: Mapping[OutcomeValue, int], coding: Coding, table: FeatureTable
) -> list[int]:
    """Return the numbers of a frame: the outcomes themselves, if they are above 0 just where they are positive."""
    counts = all(isinstance(value, int) and (value > 0) == bool(label) for value, label in classes.items())
    if counts and coding.name == table.own_coding:
        return [int(value) for value in outcomes]
    return [classes[value] for value in outcomes]
