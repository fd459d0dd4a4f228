"""Reads labelled patients from a user's file, strictly; an error lists all problems.

Files are parsed as by `heartstream score` (`schemas.csv_dialect`). Two formats are accepted: a header that names the 13
fields and the outcome, or no header and UCI's 14 columns. Codes and outcome of a named coding are converted to UCI's.
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

import msgspec
import numpy as np
import pandas as pd

from schemas.column_mapping import ColumnMapper
from schemas.csv_cells import NUMBER, CellReader
from schemas.csv_dialect import SAMPLE_BYTES, Dialect, DialectDetector
from schemas.errors import DataError, DependencyError
from schemas.read_options import TextOptions
from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import Coding, OutcomeValue
from schemas.text_encoding import Utf8Text
from training.arrays import Labels, Matrix
from training.data.checks import foreign_codes, inverted_target, too_many_duplicates
from training.data.dataset import HEADER
from training.data.frames import features, target
from training.data.uci import UCI

_OWN: Final = UCI_HEART.own_coding
_OUTCOMES: Final[Mapping[str, Mapping[OutcomeValue, int]]] = {
    UCI_HEART.outcome.column: UCI_HEART.outcome.classes,
    UCI_HEART.outcome.binary_column: {0: 0, 1: 1},
}
"""The possible columns of UCI's outcome, in order of precedence, and the label of each value."""
_STATLOG: Final = frozenset({1, 2})
"""The outcome values of a file in Statlog's coding, which have another meaning in UCI's."""
_MAX_REPORTED: Final = 5

Row = tuple[int, list[str]]
"""A line's number and its cells."""


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Labelled patients: a frame with the columns of `training.data.frames`, and the SHA-256 of their file.

    `site` is the file's column of that name, or the file's name. `notes` describe how the file was interpreted.
    """

    frame: pd.DataFrame
    sha256: str
    notes: tuple[str, ...] = ()


def read_labelled(path: Path, coding: str | None = None, options: TextOptions | None = None) -> LabelledData:
    """Read the patients. Raises DependencyError for an unreadable file, DataError with all problems of its content.

    `coding` names the coding of the file; without it UCI's is expected, and rows in another coding are refused.
    `options` describe the file format where it cannot be detected. Raises SettingsError for invalid options.
    """
    named, options = UCI_HEART.coding_by_name[coding or _OWN], options or TextOptions()
    options.check()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    try:
        table = _table(raw, named, options)
        cells = CellReader(UCI_HEART, table.decimal, options, coding)
        frame, sent, lines, problems = _frame(table, path.stem, named, cells)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    foreign = [] if coding else [*foreign_codes(features(frame)), *_other_classes(frame)]
    if foreign:
        raise DataError(f"{path.name} must not be used: {'; '.join(foreign)}: name yours with --coding")
    problems += _illegal(features(frame), sent, lines, coding)
    more = [f"and {len(problems) - _MAX_REPORTED} more such lines"] if len(problems) > _MAX_REPORTED else []
    reported = [*problems[:_MAX_REPORTED], *more, *_corrupted(features(frame), target(frame))]
    if reported:
        raise DataError(f"{path.name} must not be used: {'; '.join(reported)}")
    return LabelledData(frame, hashlib.sha256(raw).hexdigest(), (*table.notes, *cells.notes()))


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's columns, rows and decimal mark, with notes on its interpretation."""

    names: list[str]
    rows: list[Row]
    decimal: str
    notes: tuple[str, ...]


def _table(raw: bytes, coding: Coding, options: TextOptions) -> _Table:
    """Parse the file. Raises DataError."""
    source = Utf8Text(BytesIO(raw), options.encoding)
    text = b"".join(iter(source.read, b""))
    dialect = DialectDetector(UCI_HEART).detect(text[:SAMPLE_BYTES], options)
    mapper = ColumnMapper(UCI_HEART)
    rows = _rows(text, dialect)
    header = rows[0][1] if rows else []
    names = [mapper.field_of(cell) or cell.lower() for cell in header]
    outcomes = _outcomes(coding)
    if {*names}.isdisjoint(UCI_HEART.names):
        if len(names) not in {0, len(HEADER) - 1}:
            raise DataError(
                f"it has no header, and {len(names)} columns where UCI's own files have {len(HEADER) - 1} "
                "(set --delimiter if they are not separated correctly)"
            )
        names = [*UCI_HEART.names, next(iter(outcomes))]
    else:
        rows = rows[1:]
    problems = [f"column {name} is missing" for name in UCI_HEART.names if name not in names]
    if outcomes.keys().isdisjoint(names):
        problems.append(f"there is no column {' or '.join(outcomes)} (set --coding if the data is in another coding)")
    problems += [f"column {name} appears twice" for name in (*UCI_HEART.names, *outcomes) if names.count(name) > 1]
    if not rows:
        problems.append("it holds no patients")
    if problems:
        raise DataError("; ".join(problems))
    return _Table(names, rows, dialect.decimal, (*source.notes, *dialect.notes, *_renamed(names, header, mapper)))


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


def _renamed(names: Sequence[str], header: Sequence[str], mapper: ColumnMapper) -> Iterator[str]:
    for field, name in zip(names, header, strict=False):
        if mapper.field_of(name) == field and name.lower() != field:
            yield f'{field} is column "{name}"'


def _outcomes(coding: Coding) -> Mapping[str, Mapping[OutcomeValue, int]]:
    """Return the possible outcome columns of a coding, and the label of each value."""
    if coding.name == _OWN:
        return _OUTCOMES
    return dict.fromkeys(dict.fromkeys((coding.outcome, *_OUTCOMES)), coding.classes)


def _frame(
    table: _Table, site: str, coding: Coding, reader: CellReader
) -> tuple[pd.DataFrame, Matrix, list[int], list[str]]:
    """Read the cells; return valid patients, in UCI's codes and as sent, with their lines, and all problems.

    Each problem describes another line.
    """
    names = table.names
    outcome, classes = next((name, classes) for name, classes in _outcomes(coding).items() if name in names)
    columns = [*UCI_HEART.names, outcome]
    lines, values, sites, problems = [], [], [], []
    for line, row in table.rows:
        if len(row) != len(names):
            problems.append(f"line {line} has {len(row)} columns, expected {len(names)}")
            continue
        cells = dict(zip(names, row, strict=True))
        numbers = [_number(reader.read(name, cells[name].encode())) for name in columns]
        wrong = [f"{name} is not a number" for name, number in zip(columns, numbers, strict=True) if number is None]
        if numbers[-1] is not None and numbers[-1] not in classes:
            known = sorted(int(value) for value in classes)
            wrong.append(f"{outcome} must be a whole number from {known[0]} to {known[-1]}")
        if wrong:
            problems.append(f"line {line}: {', '.join(wrong)}")
            continue
        lines.append(line)
        values.append(numbers)
        sites.append(cells.get("site") or site)
    found = np.array(values, dtype=np.float64).reshape(len(values), len(columns))
    matrix = found[:, :-1].copy()
    UCI.matrix.blank_missing(matrix)
    sent = matrix.copy()
    UCI.matrix.convert(matrix, coding)
    frame = pd.DataFrame(matrix, columns=list(UCI_HEART.names))
    frame.insert(0, "site", sites)
    outcomes = found[:, -1].astype(np.int64)
    # UCI's outcome counts narrowed vessels; of another coding only the label is known.
    frame["num"] = outcomes if coding.name == _OWN else [classes[each] for each in outcomes.tolist()]
    return frame, sent, lines, problems


def _number(cell: bytes | None) -> float | None:
    if cell is None:
        return float("nan")
    number = float(cell) if NUMBER.fullmatch(cell) else float("inf")
    return number if isfinite(number) else None


def _illegal(matrix: Matrix, sent: Matrix, lines: Sequence[int], coding: str | None) -> Iterator[str]:
    """Report values that the feature table does not allow by line, with the messages of the contract."""
    for place in np.flatnonzero(~UCI.matrix.legal_rows(matrix)).tolist():
        numbers = {
            name: None if np.isnan(value) else value
            for name, value in zip(UCI_HEART.names, sent[place].tolist(), strict=True)
        }
        found = UCI.records.validate(msgspec.json.encode({"patient_id": "-", **numbers}), coding)
        if isinstance(found, tuple):
            issues = ", ".join(f"{issue.pointer[1:]} {issue.message}" for issue in found)
            yield f"line {lines[place]}: {issues}"


def _other_classes(frame: pd.DataFrame) -> Iterator[str]:
    """Report if all outcomes are 1 or 2, as in Statlog's coding, where 1 means UCI's 0."""
    if {*frame["num"].tolist()} == _STATLOG:
        yield (
            "the outcome is 1 or 2 in every row and never 0, as in Statlog's coding, where 1 is absence and 2 presence "
            f"of disease; there are several codings: {', '.join(UCI_HEART.coding_by_name)}"
        )


def _corrupted(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Report the signs of a corrupted copy."""
    yield from inverted_target(matrix, labels)
    yield from too_many_duplicates(matrix, labels)
