"""Labelled patients from a file of somebody else's, read strictly: all that is wrong with it is told together.

Two forms are taken: a CSV with a header that names the 13 fields and `num` or `target`, or a file as UCI publishes it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from schemas.errors import DataError, DependencyError
from schemas.faults import examine
from schemas.features import FEATURE_NAMES
from scoring.matrix import blank_missing, legal_rows
from training.data import Labels, Matrix, features, target
from training.guards import foreign_codes, inverted_target, kaggle_rows, too_many_repeats
from training.uci import HEADER, MISSING

_HIGHEST: Final = {"num": 4, "target": 1}
"""The columns that may hold the outcome, the first that is there is taken; and what they go up to."""
_UNMEASURED: Final = frozenset({"", MISSING, "na", "nan", "null"})
_TOLD: Final = 5

Row = tuple[int, list[str]]
"""A line's number and its cells."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled patients: a table with the columns of `training.data`, and the SHA-256 of the file it was in.

    `site` is the file's column of that name, or the file's name.
    """

    frame: pd.DataFrame
    sha256: str


def read_labelled(path: Path) -> Labelled:
    """Read the patients. Raises DependencyError if it cannot be done, DataError with all that is wrong with them."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    try:
        names, rows = _table(raw)
        frame, lines, problems = _frame(names, rows, path.stem)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from error
    problems += _illegal(features(frame), lines)
    more = [f"and {len(problems) - _TOLD} more such lines"] if len(problems) > _TOLD else []
    told = [*problems[:_TOLD], *more, *_spoilt(features(frame), target(frame))]
    if told:
        raise DataError(f"{path.name} must not be used: {'; '.join(told)}")
    return Labelled(frame, hashlib.sha256(raw).hexdigest())


def _table(raw: bytes) -> tuple[list[str], list[Row]]:
    """Return the columns' names, and the rows below them. Raises DataError."""
    try:
        reader = csv.reader(StringIO(raw.decode("utf-8-sig"), newline=""))
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise DataError("it is not UTF-8 text") from error
    except csv.Error as error:
        raise DataError("it is not a CSV") from error
    names = [cell.lower() for cell in rows[0][1]] if rows else []
    if {*names}.isdisjoint(FEATURE_NAMES):
        if len(names) not in {0, len(HEADER) - 1}:
            raise DataError(f"it has no header, and {len(names)} columns where UCI's own files have {len(HEADER) - 1}")
        names = list(HEADER[1:])
    else:
        rows = rows[1:]
    problems = [f"column {name} is missing" for name in FEATURE_NAMES if name not in names]
    if _HIGHEST.keys().isdisjoint(names):
        problems.append(f"there is no column {' or '.join(_HIGHEST)}")
    problems += [f"column {name} stands twice" for name in (*FEATURE_NAMES, *_HIGHEST) if names.count(name) > 1]
    if not rows:
        problems.append("it holds no patients")
    if problems:
        raise DataError("; ".join(problems))
    return names, rows


def _frame(names: Sequence[str], rows: Sequence[Row], site: str) -> tuple[pd.DataFrame, list[int], list[str]]:
    """Read the cells; return the patients that can be read, their lines, and what is wrong with the other lines."""
    outcome = next(name for name in _HIGHEST if name in names)
    wanted = [*FEATURE_NAMES, outcome]
    lines, values, sites, problems = [], [], [], []
    for line, row in rows:
        if len(row) != len(names):
            problems.append(f"line {line} has {len(row)} columns, expected {len(names)}")
            continue
        cells = dict(zip(names, row, strict=True))
        numbers = [_number(cells[name]) for name in wanted]
        wrong = [f"{name} is not a number" for name, number in zip(wanted, numbers, strict=True) if number is None]
        if numbers[-1] is not None and numbers[-1] not in range(_HIGHEST[outcome] + 1):
            wrong.append(f"{outcome} must be a whole number from 0 to {_HIGHEST[outcome]}")
        if wrong:
            problems.append(f"line {line}: {', '.join(wrong)}")
            continue
        lines.append(line)
        values.append(numbers)
        sites.append(cells.get("site") or site)
    table = np.array(values, dtype=np.float64).reshape(len(values), len(wanted))
    matrix = table[:, :-1].copy()
    blank_missing(matrix)
    frame = pd.DataFrame(matrix, columns=list(FEATURE_NAMES))
    frame.insert(0, "site", sites)
    frame["num"] = table[:, -1].astype(np.int64)
    return frame, lines, problems


def _number(cell: str) -> float | None:
    if cell.lower() in _UNMEASURED:
        return float("nan")
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _illegal(matrix: Matrix, lines: Sequence[int]) -> Iterator[str]:
    """Say what the feature table does not allow, line by line, in the words of the contract: without the value."""
    for place in np.flatnonzero(~legal_rows(matrix) & ~kaggle_rows(matrix)).tolist():
        numbers = {
            name: None if np.isnan(value) else value
            for name, value in zip(FEATURE_NAMES, matrix[place].tolist(), strict=True)
        }
        found = examine(msgspec.json.encode({"patient_id": "-", **numbers}))
        if isinstance(found, tuple):
            faults = ", ".join(f"{fault.pointer[1:]} {fault.message}" for fault in found)
            yield f"line {lines[place]}: {faults}"


def _spoilt(matrix: Matrix, labels: Labels) -> Iterator[str]:
    """Say what gives a spoilt copy away."""
    foreign = list(foreign_codes(matrix))
    yield from foreign
    yield from () if foreign else inverted_target(matrix, labels)
    yield from too_many_repeats(matrix, labels)
