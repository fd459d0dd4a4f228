"""The codings of the published copies of UCI Heart Disease: what each number means in each copy.

Copies renumber the codes and the outcome, and most of their numbers are valid in UCI's coding, with another meaning.
The coding cannot be detected from a single record: it must be given, in the record's `coding` or for a whole source. A
test verifies that each map reproduces the UCI rows of the published copy, row by row.

KEEL's copy is not supported: it drops the decimal point of `oldpeak`, so that 0.2 and 2.0 are both 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

UCI: Final = "uci"


class Coding(msgspec.Struct, frozen=True):
    """One coding, and its map to UCI's.

    `codes` has the fields that differ, each with all of its codes: UCI's code, or None for "not measured". `outcome` is
    the outcome's column in labelled copies; `classes` maps its values to disease (1) and no disease (0).
    """

    name: str
    description: str
    codes: Mapping[str, Mapping[int, int | None]]
    outcome: str
    classes: Mapping[int, int]


_ALL: Final = (
    Coding(
        UCI,
        "as published by UCI; the default",
        {},
        "num",
        {0: 0, 1: 1, 2: 1, 3: 1, 4: 1},
    ),
    Coding(
        "kaggle-303",
        "heart.csv with 303 rows, and its copy with 1025 rows",
        {
            "cp": {0: 4, 1: 2, 2: 3, 3: 1},
            "restecg": {0: 2, 1: 0, 2: 1},
            "slope": {0: 3, 1: 2, 2: 1},
            "ca": {0: 0, 1: 1, 2: 2, 3: 3, 4: None},
            "thal": {0: None, 1: 6, 2: 3, 3: 7},
        },
        "target",
        {0: 1, 1: 0},
    ),
    Coding(
        "kaggle-297",
        "heart_cleveland_upload.csv with 297 rows",
        {"cp": {0: 1, 1: 2, 2: 3, 3: 4}, "slope": {0: 1, 1: 2, 2: 3}, "thal": {0: 3, 1: 6, 2: 7}},
        "condition",
        {0: 0, 1: 1},
    ),
    Coding(
        "statlog",
        "Statlog's heart.dat with 270 rows: UCI's codes, but class 1 is absence and 2 presence of disease",
        {},
        "class",
        {1: 0, 2: 1},
    ),
)
CODINGS: Final[Mapping[str, Coding]] = {coding.name: coding for coding in _ALL}
FOREIGN_NAMES: Final = tuple(name for name in CODINGS if name != UCI)
"""The codings that are not UCI's."""


def known_codings_text() -> str:
    """Return the message that lists the known codings."""
    return f"must be one of {', '.join(CODINGS)}; the default is {UCI}"


def with_coding(value: bytes | None, name: str) -> bytes | None:
    """Return a record with its coding added as the last member, otherwise unchanged.

    None if the value is not a JSON patient record, or already has a coding.
    """
    try:
        members = msgspec.json.decode(value or b"", type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if "patient_id" not in members or "coding" in members:
        return None
    whole = value or b""
    end = whole.rindex(b"}")
    return whole[:end] + b',"coding":"%s"' % name.encode() + whole[end:]
