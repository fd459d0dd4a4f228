"""Labelled patients from a file of somebody else's, read strictly: all that is wrong with it is told together.

It is read as `heartstream score` reads one (`schemas.dialects`). Two forms are taken: a header that names the 13 fields
and the outcome, or no header and UCI's 14 columns. Where a coding is named, codes and outcome are read in that, and put
into UCI's.
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

from schemas.cells import NUMBER, CellReader
from schemas.codings import CODINGS, UCI, Coding
from schemas.dialects import SAMPLE_BYTES, Dialect, dialect_of
from schemas.encodings import Utf8Text
from schemas.errors import DataError, DependencyError
from schemas.faults import examine
from schemas.features import FEATURE_NAMES
from schemas.headers import field_of
from schemas.reading import TextOptions
from scoring.features import blank_missing, convert, legal_rows
from training.arrays import Labels, Matrix
from training.data.checks import foreign_codes, inverted_target, too_many_repeats
from training.data.dataset import HEADER
from training.data.frames import features, target

_OUTCOMES: Final = {"num": CODINGS[UCI].classes, "target": {0: 0, 1: 1}}
"""The columns that may hold UCI's outcome, the first that is there is taken; and what each value means."""
_STATLOG: Final = frozenset({1, 2})
"""All classes that there are in a file where they do not mean what they mean in UCI's."""
_TOLD: Final = 5

Row = tuple[int, list[str]]
"""A line's number and its cells."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled patients: a table with the columns of `training.data.frames`, and the SHA-256 of the file it was in.

    `site` is the file's column of that name, or the file's name. `notes` say what was understood of the file.
    """

    frame: pd.DataFrame
    sha256: str
    notes: tuple[str, ...] = ()


def read_labelled(path: Path, coding: str | None = None, options: TextOptions | None = None) -> Labelled:
    """Read the patients. Raises DependencyError if it cannot be done, DataError with all that is wrong with them.

    `coding` names the coding of all of them; without it they are in UCI's, and refused if they show another one.
    `options` say how the file is written, where that cannot be recognised. Raises SettingsError if they mean nothing.
    """
    named, options = CODINGS[coding or UCI], options or TextOptions()
    options.check()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    try:
        table = _table(raw, named, options)
        cells = CellReader(table.decimal, options, coding)
        frame, sent, lines, problems = _frame(table, path.stem, named, cells)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    foreign = [] if coding else [*foreign_codes(features(frame)), *_other_classes(frame)]
    if foreign:
        raise DataError(f"{path.name} must not be used: {'; '.join(foreign)}: name yours with --coding")
    problems += _illegal(features(frame), sent, lines, coding)
    more = [f"and {len(problems) - _TOLD} more such lines"] if len(problems) > _TOLD else []
    told = [*problems[:_TOLD], *more, *_spoilt(features(frame), target(frame))]
    if told:
        raise DataError(f"{path.name} must not be used: {'; '.join(told)}")
    return Labelled(frame, hashlib.sha256(raw).hexdigest(), (*table.notes, *cells.notes()))


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's columns and the rows below them, its decimal mark, and what was understood."""

    names: list[str]
    rows: list[Row]
    decimal: str
    notes: tuple[str, ...]


def _table(raw: bytes, coding: Coding, options: TextOptions) -> _Table:
    """Return the columns' names, and the rows below them. Raises DataError."""
    source = Utf8Text(BytesIO(raw), options.encoding)
    text = b"".join(iter(source.read, b""))
    dialect = dialect_of(text[:SAMPLE_BYTES], options)
    rows = _rows(text, dialect)
    header = rows[0][1] if rows else []
    names = [field_of(cell) or cell.lower() for cell in header]
    outcomes = _outcomes(coding)
    if {*names}.isdisjoint(FEATURE_NAMES):
        if len(names) not in {0, len(HEADER) - 1}:
            raise DataError(
                f"it has no header, and {len(names)} columns where UCI's own files have {len(HEADER) - 1} "
                "(--delimiter names what separates them)"
            )
        names = [*FEATURE_NAMES, next(iter(outcomes))]
    else:
        rows = rows[1:]
    problems = [f"column {name} is missing" for name in FEATURE_NAMES if name not in names]
    if outcomes.keys().isdisjoint(names):
        problems.append(f"there is no column {' or '.join(outcomes)} (--coding names a coding that has another)")
    problems += [f"column {name} stands twice" for name in (*FEATURE_NAMES, *outcomes) if names.count(name) > 1]
    if not rows:
        problems.append("it holds no patients")
    if problems:
        raise DataError("; ".join(problems))
    return _Table(names, rows, dialect.decimal, (*source.notes, *dialect.notes, *_renamed(names, header)))


def _rows(text: bytes, dialect: Dialect) -> list[Row]:
    """Return the rows that hold anything. Raises DataError."""
    before = text[: dialect.skipped].count(b"\n")
    blanks = dialect.delimiter == " "
    try:
        lines = StringIO(text[dialect.skipped :].decode(), newline="")
        reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=blanks)
        found = [(before + reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UnicodeDecodeError as error:
        raise DataError("it is not UTF-8 text: --encoding names its encoding, such as cp1252") from error
    except csv.Error as error:
        raise DataError("it is not a CSV") from error
    return [row for row in found if any(row[1])]


def _renamed(names: Sequence[str], header: Sequence[str]) -> Iterator[str]:
    for field, name in zip(names, header, strict=False):
        if field_of(name) == field and name.lower() != field:
            yield f'{field} is column "{name}"'


def _outcomes(coding: Coding) -> Mapping[str, Mapping[int, int]]:
    """Return the columns that may hold the outcome in a coding, and what each of their values means."""
    return (
        _OUTCOMES if coding.name == UCI else dict.fromkeys(dict.fromkeys((coding.outcome, *_OUTCOMES)), coding.classes)
    )


def _frame(
    table: _Table, site: str, coding: Coding, reader: CellReader
) -> tuple[pd.DataFrame, Matrix, list[int], list[str]]:
    """Read the cells; return the patients that can be read, in UCI's codes and as sent, their lines, and problems.

    A problem says what is wrong with another line.
    """
    names = table.names
    outcome, classes = next((name, classes) for name, classes in _outcomes(coding).items() if name in names)
    wanted = [*FEATURE_NAMES, outcome]
    lines, values, sites, problems = [], [], [], []
    for line, row in table.rows:
        if len(row) != len(names):
            problems.append(f"line {line} has {len(row)} columns, expected {len(names)}")
            continue
        cells = dict(zip(names, row, strict=True))
        numbers = [_number(reader.read(name, cells[name].encode())) for name in wanted]
        wrong = [f"{name} is not a number" for name, number in zip(wanted, numbers, strict=True) if number is None]
        if numbers[-1] is not None and numbers[-1] not in classes:
            wrong.append(f"{outcome} must be a whole number from {min(classes)} to {max(classes)}")
        if wrong:
            problems.append(f"line {line}: {', '.join(wrong)}")
            continue
        lines.append(line)
        values.append(numbers)
        sites.append(cells.get("site") or site)
    found = np.array(values, dtype=np.float64).reshape(len(values), len(wanted))
    matrix = found[:, :-1].copy()
    blank_missing(matrix)
    sent = matrix.copy()
    convert(matrix, coding)
    frame = pd.DataFrame(matrix, columns=list(FEATURE_NAMES))
    frame.insert(0, "site", sites)
    outcomes = found[:, -1].astype(np.int64)
    # UCI's own number says how many vessels are narrowed; of another coding only the label is known.
    frame["num"] = outcomes if coding.name == UCI else [classes[each] for each in outcomes.tolist()]
    return frame, sent, lines, problems


def _number(cell: bytes | None) -> float | None:
    if cell is None:
        return float("nan")
    number = float(cell) if NUMBER.fullmatch(cell) else float("inf")
    return number if isfinite(number) else None


def _illegal(matrix: Matrix, sent: Matrix, lines: Sequence[int], coding: str | None) -> Iterator[str]:
    """Say what the feature table does not allow, line by line, in the words of the contract: without the value."""
    for place in np.flatnonzero(~legal_rows(matrix)).tolist():
        numbers = {
            name: None if np.isnan(value) else value
            for name, value in zip(FEATURE_NAMES, sent[place].tolist(), strict=True)
        }
        found = examine(msgspec.json.encode({"patient_id": "-", **numbers}), coding)
        if isinstance(found, tuple):
            faults = ", ".join(f"{fault.pointer[1:]} {fault.message}" for fault in found)
            yield f"line {lines[place]}: {faults}"


def _other_classes(frame: pd.DataFrame) -> Iterator[str]:
    """Say if the outcome is never absent and never above 2: in Statlog's coding 1 is what 0 is here."""
    if {*frame["num"].tolist()} == _STATLOG:
        yield (
            "the outcome is 1 or 2 in every row and never 0, as in Statlog's coding, where 1 is absence and 2 presence "
            f"of disease; there are several codings: {', '.join(CODINGS)}"
        )


def _spoilt(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Say what gives a spoilt copy away."""
    yield from inverted_target(matrix, labels)
    yield from too_many_repeats(matrix, labels)
