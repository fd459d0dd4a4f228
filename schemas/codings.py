"""The codings in which copies of UCI Heart Disease are published: which number stands for what, in each copy.

Copies renumber the codes and the outcome, and most of their numbers are legal in UCI's coding, where they mean
something else. Which coding a record is in cannot be seen from the record: it has to be named, in the record's `coding`
or for a whole source. Each map here reproduces the UCI rows of the published copy, row by row: a test holds it to that.

Not listed is KEEL's copy: it drops the decimal point of `oldpeak`, so that 0.2 and 2.0 are both 2, and nothing restores
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

UCI: Final = "uci"


class Coding(msgspec.Struct, frozen=True):
    """One coding, and its map to UCI's.

    `codes` has the fields that differ, each with all of its codes: UCI's code, or None where it stands for "not
    measured". `outcome` is the column of labelled copies that holds the outcome; `classes` says which of its values
    means disease (1) and which does not (0).
    """

    name: str
    description: str
    codes: Mapping[str, Mapping[int, int | None]]
    outcome: str
    classes: Mapping[int, int]


_ALL: Final = (
    Coding(
        UCI,
        "as UCI publishes the data; what a record is in that names no coding",
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
    """Say which names there are."""
    return f"must be one of {', '.join(CODINGS)}; without it a record is in the coding {UCI}"


def with_coding(value: bytes | None, name: str) -> bytes | None:
    """Return a record with the coding that it is in added as its last member, else unchanged.

    None where the value is no JSON object of a patient, or names its coding already.
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
