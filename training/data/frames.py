"""The patients as data frames and arrays.

Every frame has the columns `site`, the fields of its feature table (float64, NaN where missing; texts as positions of
their codes) and `num`, the outcome: above 0 if it is positive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from schemas.errors import DataError, DependencyError
from schemas.tables.builtin import UCI_HEART
from training.arrays import Labels, Matrix
from training.data.dataset import HEADER, MISSING, SITES, file_name, format_number, snapshot_rows
from training.data.uci import UCI

SITE: Final = "site"
OUTCOME: Final = "num"
TRAINING_SITE: Final = "cleveland"
"""The other hospitals rarely measured `ca`, `thal` and `slope`: they test the model, and do not train it."""
_MAX_NUM: Final = 4
_MISSING: Final = frozenset({"", MISSING})


def read_snapshot(sites: Sequence[str] = SITES) -> pd.DataFrame:
    """Return the rows of sites from the bundled snapshot."""
    rows = ((row[0], row[1:], f"snapshot row {i}") for i, row in enumerate(snapshot_rows(), 1) if row[0] in sites)
    return _table(rows)


def read_uci(folder: Path, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """Return the rows of sites from UCI's files in `folder`.

    Raises DependencyError for an unreadable file, and DataError with file, line and field.
    """
    return _table(row for site in sites for row in _file_rows(folder, site))


def _file_rows(folder: Path, site: str) -> Iterable[tuple[str, list[str], str]]:
    name = file_name(site)
    try:
        text = (folder / name).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text") from error
    except OSError as error:
        raise DependencyError(f"cannot read {folder / name}: {error.strerror}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip(" ,")]
    if not lines:
        raise DataError(f"{name} holds no rows")
    first = lines[0][1]
    if "age" in first or any(character.isalpha() for character in first.partition(",")[0]):
        raise DataError(
            f"{name} begins with a header, UCI's file has none: this may be the Kaggle copy, which inverts the target, "
            "or a file whose first patient became the header (in R, read.csv with header = FALSE keeps that patient)"
        )
    return ((site, line.split(","), f"{name} line {number}") for number, line in lines)


def _table(rows: Iterable[tuple[str, list[str], str]]) -> pd.DataFrame:
    sites, numbers = [], []
    for site, cells, place in rows:
        sites.append(site)
        numbers.append(_numbers(cells, place))
    values = np.array(numbers, dtype=np.float64)
    matrix = values[:, :-1].copy()
    UCI.matrix.blank_missing(matrix)
    frame = pd.DataFrame(matrix, columns=list(UCI_HEART.names))
    frame.insert(0, "site", sites)
    frame["num"] = values[:, -1].astype(np.int64)
    return frame


def _numbers(cells: list[str], place: str) -> list[float]:
    names = HEADER[1:]
    if len(cells) != len(names):
        raise DataError(f"{place}: has {len(cells)} columns, expected {len(names)}")
    numbers = [_number(cell.strip(), f"{place}: {name}") for name, cell in zip(names, cells, strict=True)]
    if numbers[-1] not in range(_MAX_NUM + 1):
        raise DataError(f"{place}: num must be a whole number from 0 to {_MAX_NUM}")
    return numbers


def _number(cell: str, place: str) -> float:
    if cell in _MISSING:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        # The cell is a patient's value: the error has its position, not its content.
        raise DataError(f"{place} is not a number") from None


def site_rows(frame: pd.DataFrame, site: str | None) -> pd.DataFrame:
    """Return one site's rows, or with None those of all."""
    return frame if site is None else frame[frame[SITE] == site].reset_index(drop=True)


def sites_of(frame: pd.DataFrame) -> list[str]:
    """Return the sites, in the order of the rows."""
    return [str(site) for site in frame[SITE].unique()]


def row_keys(frame: pd.DataFrame) -> list[bytes]:
    """Return a key of each patient's fields and outcome: equal rows have equal keys in every hospital."""
    return [row.tobytes() for row in np.column_stack([np.nan_to_num(features(frame), nan=-9.0), target(frame)])]


def drop_shared_rows(patients: pd.DataFrame) -> pd.DataFrame:
    """Drop rows that are also in an earlier hospital's file.

    The training rows come first, so that no training patient tests the model under another hospital's name.
    """
    sites = patients["site"]
    first = sites.groupby(pd.Series(row_keys(patients), index=patients.index)).transform("first")
    return patients[sites == first]


def features(frame: pd.DataFrame) -> Matrix:
    """Return the fields, (n, fields) in the order of the feature table, NaN where missing."""
    return np.ascontiguousarray(frame.drop(columns=[SITE, OUTCOME]).to_numpy(dtype=np.float64))


def target(frame: pd.DataFrame) -> Labels:
    """Return 1 where the outcome is positive, else 0; shape (n,)."""
    return np.asarray(frame[OUTCOME].to_numpy() > 0, dtype=np.int64)


def digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 (hexadecimal) of the rows as CSV, in the format of the snapshot."""
    rows = frame.itertuples(index=False)
    cells = ((str(row[0]), *(_cell(float(value)) for value in row[1:])) for row in rows)
    text = "".join(f"{','.join(line)}\n" for line in (tuple(frame.columns), *cells))
    return hashlib.sha256(text.encode()).hexdigest()


def _cell(value: float) -> str:
    return "" if np.isnan(value) else format_number(value)
