"""A change-control plan: which changes of the served model may be promoted without a person.

It is a TOML file in the model store. Every key is required, so that no limit is forgotten; a kind of change without a
table in the file needs a person. Its limits are about the best model of a directory, and about one change at a time.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec

from schemas.errors import DataError

PLAN_FILE: Final = "change-plan.toml"
Limit = Annotated[float, msgspec.Meta(ge=0, le=10)]
"""Differences of metrics, slopes and log-odds; neither NaN nor infinity, which would allow everything."""
Count = Annotated[int, msgspec.Meta(ge=1)]
_Table = TypeVar("_Table", bound=msgspec.Struct)


class Retraining(msgspec.Struct, frozen=True):
    """Limits for a newly trained model, by the out-of-fold figures of its own report and of the served model's.

    `same_algorithm`: the best model has the name of the served one. `calibration_slope` has a lowest and highest value.
    """

    same_algorithm: bool
    min_patients: Count
    min_events: Count
    max_roc_auc_loss: Limit
    max_brier_increase: Limit
    calibration_slope: tuple[Limit, Limit]


class Recalibration(msgspec.Struct, frozen=True):
    """Limits for a shift of the served model's log-odds, by the patients whose outcomes it rests on."""

    min_patients: Count
    min_events: Count
    max_shift: Limit
    max_brier_increase: Limit


class ChangePlan(msgspec.Struct, frozen=True):
    """A plan: whether a model must be signed, and the limits by kind of change. `sha256` is that of the file."""

    sha256: str
    signed: bool
    retraining: Retraining | None = None
    recalibration: Recalibration | None = None


def read_plan(store: Path) -> ChangePlan | None:
    """Return the plan of a model store, None if it has none. Raises DataError that lists every problem, and OSError."""
    path = store / PLAN_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise DataError(f"{path} cannot be read: it links to {path.readlink()}, which does not exist") from error
        return None
    try:
        document = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{path} is not TOML: {error}") from error
    problems: list[str] = []
    retraining = _table(Retraining, document.pop("retraining", None), "retraining.", problems)
    recalibration = _table(Recalibration, document.pop("recalibration", None), "recalibration.", problems)
    general = _table(_General, document, "", problems)
    if problems or general is None:
        raise DataError("\n".join(f"{path}: {problem}" for problem in problems))
    return ChangePlan(hashlib.sha256(content).hexdigest(), general.signed, retraining, recalibration)


class _General(msgspec.Struct, frozen=True):
    """The keys outside of the tables."""

    signed: bool


def _table(kind: type[_Table], found: Any, prefix: str, problems: list[str]) -> _Table | None:
    """Convert a table of the file key by key; add to `problems` what is wrong. None if anything is, or no table."""
    if found is None:
        return None
    if not isinstance(found, Mapping):
        problems.append(f"{prefix.rstrip('.')} must be a table")
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    before, values = len(problems), {}
    problems += [f"{prefix}{key} is required" for key in fields if key not in found]
    for key, raw in found.items():
        if key not in fields:
            problems.append(f"unknown key {prefix}{key}; there are {', '.join(fields)}")
            continue
        try:
            values[key] = msgspec.convert(raw, fields[key].type)
        except msgspec.ValidationError as error:
            problems.append(f"{prefix}{key}: {error}")
    return kind(**values) if len(problems) == before else None
