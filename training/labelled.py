"""Labelled patients from a file of somebody else's, read strictly: all that is wrong with it is told together.

Two forms are taken: a CSV with a header that names the 13 fields and `num` or `target`, or a file as UCI publishes it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from schemas.errors import DependencyError
from schemas.features import FEATURE_NAMES
from scoring.matrix import blank_missing
from training.data import features, target
from training.guards import refuse_foreign_codes, refuse_inverted_target, refuse_repeated_rows
from training.uci import MISSING

_OUTCOMES: Final = ("num", "target")
_UNMEASURED: Final = frozenset({"", MISSING, "na", "nan", "null"})
_HIGHEST: Final = 4
_FEW_REPEATED: Final = 0.05
"""UCI's own files repeat a row here and there; a copy with more of them is none of these."""
_TOLD: Final = 5


def read_labelled(path: Path) -> pd.DataFrame:
    """Return the patients, with the columns of `training.data`. Raises DependencyError with all that is wrong."""
    try:
        rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DependencyError(f"cannot read {path}: {reason}") from error
    rows = [row for row in rows if row]
    if not rows:
        raise DependencyError(f"{path} holds no rows")
    header, first = ([cell.strip().lower() for cell in rows[0]], 2) if _names_fields(rows[0]) else ([], 1)
    names = header or [*FEATURE_NAMES, "num"]
    problems = _header_problems(names)
    if problems:
        raise DependencyError(f"{path.name}: {'; '.join(problems)}")
    frame = _frame(path, names, rows[first - 1 :], first)
    _refuse(path, frame)
    return frame


def _names_fields(row: Sequence[str]) -> bool:
    return any(cell.strip().lower() in FEATURE_NAMES for cell in row)


def _header_problems(names: Sequence[str]) -> list[str]:
    problems = [f"column {name} is missing" for name in FEATURE_NAMES if name not in names]
    if not any(name in names for name in _OUTCOMES):
        problems.append("there is neither a column num nor a column target")
    problems += [f"column {name} stands twice" for name in {*names} if list(names).count(name) > 1]
    return problems


def _frame(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]], first: int) -> pd.DataFrame:
    """Read the cells; the errors say where they stand, not what they hold."""
    outcome = next(name for name in _OUTCOMES if name in names)
    wanted = [*FEATURE_NAMES, outcome]
    values = np.empty((len(rows), len(wanted)))
    problems = []
    for place, row in enumerate(rows):
        if len(row) != len(names):
            problems.append(f"line {first + place} has {len(row)} columns, expected {len(names)}")
            continue
        cells = dict(zip(names, row, strict=True))
        for column, name in enumerate(wanted):
            number = _number(cells[name].strip())
            if number is None or (name == outcome and number not in range(_HIGHEST + 1)):
                problems.append(f"line {first + place}: {name} is no legal number")
            values[place, column] = np.nan if number is None else number
    if problems:
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise DependencyError(f"{path.name}: {'; '.join(problems[:_TOLD])}{more}")
    matrix = values[:, :-1].copy()
    blank_missing(matrix)
    frame = pd.DataFrame(matrix, columns=list(FEATURE_NAMES))
    frame.insert(0, "site", path.stem)
    frame["num"] = values[:, -1].astype(np.int64)
    return frame


def _number(cell: str) -> float | None:
    if cell.lower() in _UNMEASURED:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return None


def _refuse(path: Path, frame: pd.DataFrame) -> None:
    """Raise DependencyError with every sign of a spoilt copy."""
    matrix, labels = features(frame), target(frame)
    checks: list[Callable[[], None]] = [
        lambda: refuse_foreign_codes(matrix),
        lambda: refuse_inverted_target(matrix, labels),
    ]
    if frame.duplicated([*FEATURE_NAMES, "num"]).mean() > _FEW_REPEATED:
        checks.append(lambda: refuse_repeated_rows(matrix, labels))
    problems = []
    for check in checks:
        try:
            check()
        except DependencyError as error:
            problems.append(str(error))
    if problems:
        raise DependencyError(f"{path.name} must not be used: {'; '.join(problems)}")
