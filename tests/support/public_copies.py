"""The published copies of UCI Heart Disease, rebuilt from the shipped snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tests.support.uci import CODINGS, FEATURE_NAMES
from training.data.dataset import snapshot_rows
from training.data.frames import read_snapshot

COPIES: Final = ("kaggle-303", "kaggle-297", "statlog", "keel")
OUTCOME: Final = "outcome"
_KAGGLE_LOST: Final = (60, 0, 4, 158, 305)
_KAGGLE_TWICE: Final = (38, 1, 3, 138, 175)
_STATLOG_ROWS: Final = 270
"""Statlog's file has the first of the complete rows."""

Row = tuple[float, ...]


def _cleveland() -> list[list[float | None]]:
    return [[float(cell) if cell else None for cell in row[1:]] for row in snapshot_rows() if row[0] == "cleveland"]


def _coded(row: list[float | None], name: str) -> Row:
    """Return a row of UCI's in a coding: 13 fields and the outcome."""
    coding = CODINGS["statlog" if name == "keel" else name]
    label = int((row[-1] or 0) > 0)
    values = []
    for field, value in zip(FEATURE_NAMES, row, strict=False):
        codes = coding.codes.get(field)
        if codes is not None:
            value = next(code for code, ours in codes.items() if ours == value)  # noqa: PLW2901  # in their code
        if value is None:
            raise ValueError("a value that this copy has no code for")
        # KEEL drops the decimal point: 0.2 and 2.0 are both 2.
        values.append(float(f"{value:g}".replace(".", "")) if (name, field) == ("keel", "oldpeak") else float(value))
    return (*values, float(next(code for code, meaning in coding.classes.items() if meaning == label)))


def copy_rows(name: str) -> list[Row]:
    """Return the rows of a published copy, in UCI's order: the 13 fields and the outcome, in its coding."""
    rows = _cleveland()
    if name == "kaggle-303":
        kept = [row for row in rows if (*row[:5],) != _KAGGLE_LOST]
        return [_coded(row, name) for row in [*kept, *(row for row in kept if (*row[:5],) == _KAGGLE_TWICE)]]
    complete = [row for row in rows if None not in row]
    return [_coded(row, name) for row in (complete if name == "kaggle-297" else complete[:_STATLOG_ROWS])]


def copy_records(name: str, **more: Any) -> list[bytes]:
    """Return the patients of a copy as records in its codes; `more` are additional members of each."""
    return [
        json.dumps({"patient_id": f"{name}-{place}", **dict(zip(FEATURE_NAMES, row, strict=False)), **more}).encode()
        for place, row in enumerate(copy_rows(name))
    ]


def uci_records(name: str) -> list[bytes]:
    """Return the same patients, with the same ids, in UCI's codes."""
    codes = CODINGS["statlog" if name == "keel" else name].codes
    records = []
    for value in copy_records(name):
        record = json.loads(value)
        records.append({field: codes[field][each] if field in codes else each for field, each in record.items()})
    return [json.dumps(record).encode() for record in records]


def inverted(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the outcome inverted, as in Kaggle's target."""
    return frame.assign(num=(frame["num"] == 0).astype(int))


def kaggle_coded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as Kaggle's heart.csv codes them."""
    coded = {name: frame[name].map(codes) for name, codes in TO_KAGGLE.items()}
    coded["thal"] = coded["thal"].fillna(0)
    return inverted(frame.assign(**coded, ca=frame["ca"].fillna(4)))


def labelled(site: str, folder: Path) -> Path:
    """Write a hospital's patients with their outcomes, as a hospital that measured them would."""
    path = folder / f"{site}.csv"
    read_snapshot([site]).to_csv(path, index=False)
    return path


TO_KAGGLE = {
    "cp": {4: 0, 2: 1, 3: 2, 1: 3},
    "restecg": {2: 0, 0: 1, 1: 2},
    "slope": {3: 0, 2: 1, 1: 2},
    "thal": {6: 1, 3: 2, 7: 3},
}
