"""Labelled patients from a file of somebody else's, read strictly: all that is wrong with it is told together.

Two forms are taken: a CSV with a header that names the 13 fields and the outcome, or a file without a header that has
UCI's 14 columns. Where a coding is named, codes and outcome are read in that, and put into UCI's.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from schemas.codings import CODINGS, UCI, Coding
from schemas.errors import DataError, DependencyError
from schemas.faults import examine
from schemas.features import FEATURE_NAMES
from scoring.matrix import blank_missing, convert, legal_rows
from training.data import Labels, Matrix, features, target
from training.guards import foreign_codes, inverted_target, too_many_repeats
from training.uci import HEADER, MISSING

_OUTCOMES: Final = {"num": CODINGS[UCI].classes, "target": {0: 0, 1: 1}}
"""The columns that may hold UCI's outcome, the first that is there is taken; and what each value means."""
_STATLOG: Final = frozenset({1, 2})
"""All classes that there are in a file where they do not mean what they mean in UCI's."""
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


def read_labelled(path: Path, coding: str | None = None) -> Labelled:
    """Read the patients. Raises DependencyError if it cannot be done, DataError with all that is wrong with them.

    `coding` names the coding of all of them; without it they are in UCI's, and refused if they show another one.
    """
    named = CODINGS[coding or UCI]
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    try:
        names, rows = _table(raw, named)
        frame, sent, lines, problems = _frame(names, rows, path.stem, named)
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
    return Labelled(frame, hashlib.sha256(raw).hexdigest())


def _table(raw: bytes, coding: Coding) -> tuple[list[str], list[Row]]:
    """Return the columns' names, and the rows below them. Raises DataError."""
    try:
        text = raw.decode("utf-8-sig")
        # Statlog's file has spaces between its columns.
        delimiter = "," if "," in text.partition("\n")[0] else " "
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise DataError("it is not UTF-8 text") from error
    except csv.Error as error:
        raise DataError("it is not a CSV") from error
    names = [cell.lower() for cell in rows[0][1]] if rows else []
    outcomes = _outcomes(coding)
    if {*names}.isdisjoint(FEATURE_NAMES):
        if len(names) not in {0, len(HEADER) - 1}:
            raise DataError(f"it has no header, and {len(names)} columns where UCI's own files have {len(HEADER) - 1}")
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
    return names, rows


def _outcomes(coding: Coding) -> Mapping[str, Mapping[int, int]]:
    """Return the columns that may hold the outcome in a coding, and what each of their values means."""
    return (
        _OUTCOMES if coding.name == UCI else dict.fromkeys(dict.fromkeys((coding.outcome, *_OUTCOMES)), coding.classes)
    )


def _frame(
    names: Sequence[str], rows: Sequence[Row], site: str, coding: Coding
) -> tuple[pd.DataFrame, Matrix, list[int], list[str]]:
    """Read the cells; return the patients that can be read, in UCI's codes and as sent, their lines, and problems.

    A problem says what is wrong with another line.
    """
    outcome, classes = next((name, classes) for name, classes in _outcomes(coding).items() if name in names)
    wanted = [*FEATURE_NAMES, outcome]
    lines, values, sites, problems = [], [], [], []
    for line, row in rows:
        if len(row) != len(names):
            problems.append(f"line {line} has {len(row)} columns, expected {len(names)}")
            continue
        cells = dict(zip(names, row, strict=True))
        numbers = [_number(cells[name]) for name in wanted]
        wrong = [f"{name} is not a number" for name, number in zip(wanted, numbers, strict=True) if number is None]
        if numbers[-1] is not None and numbers[-1] not in classes:
            wrong.append(f"{outcome} must be a whole number from {min(classes)} to {max(classes)}")
        if wrong:
            problems.append(f"line {line}: {', '.join(wrong)}")
            continue
        lines.append(line)
        values.append(numbers)
        sites.append(cells.get("site") or site)
    table = np.array(values, dtype=np.float64).reshape(len(values), len(wanted))
    matrix = table[:, :-1].copy()
    blank_missing(matrix)
    sent = matrix.copy()
    convert(matrix, coding)
    frame = pd.DataFrame(matrix, columns=list(FEATURE_NAMES))
    frame.insert(0, "site", sites)
    outcomes = table[:, -1].astype(np.int64)
    # UCI's own number says how many vessels are narrowed; of another coding only the label is known.
    frame["num"] = outcomes if coding.name == UCI else [classes[each] for each in outcomes.tolist()]
    return frame, sent, lines, problems


def _number(cell: str) -> float | None:
    if cell.lower() in _UNMEASURED:
        return float("nan")
    try:
        number = float(cell)
    except ValueError:
        return None
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
