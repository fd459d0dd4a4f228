"""Only what belongs to the built-in feature table knows its fields: all other code serves any table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.support.uci import FEATURE_NAMES

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("heartstream", "api", "worker", "runtime", "scoring", "schemas", "training")
OF_THE_TABLE: Final = (
    "schemas/tables/uci_heart.toml",
    "schemas/examples",
    "schemas/json",  # generated from the table
    "training/snapshot",
    "training/eda.ipynb",
    "training/report/notebook.py",
    "training/report/docs_pages.py",
    "training/report/figures/data.py",
    "training/report/sections/uci_heart.py",
    "training/data/download.py",
    "training/data/exploration.py",
    "training/data/frames.py",  # reads the published files
    "training/data/make_snapshot.py",
    "training/data/uci_copies.py",
)
"""The table, its patients, and what is known of them."""
WORDS: Final = {"age", "sex", "cp", "ca"}
"""Field names that are words of other things, too: looked for only as a whole literal or name in code marks."""
CALIBRATION: Final = "slope"
"""A field whose name is not looked for: a calibration has a slope, too."""
OTHER_MEANINGS: Final = {("schemas/tables/checks.py", "age"), ("schemas/tables/fhir.py", "age")}
"""A key of a table's section [fhir]."""
_SUFFIXES: Final = {".py", ".js", ".html", ".css", ".toml", ".json", ".ipynb", ".md", ".csv"}
_NAME: Final = re.compile(
    rf"\b({'|'.join(name for name in FEATURE_NAMES if name not in {*WORDS, CALIBRATION})})\b"
    rf"|([\"'`])({'|'.join(sorted(WORDS))})\2"
)


def found_in(path: str, text: str) -> list[tuple[str, str]]:
    """Return the fields that a file names, each with its path."""
    return [(path, unmistakable or word) for unmistakable, _, word in _NAME.findall(text)]


def test_no_other_file_names_its_fields() -> None:
    """A name that stands for something else is listed above, and nothing is listed in vain."""
    paths = [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*"))
        if path.suffix in _SUFFIXES and not str(path.relative_to(ROOT)).startswith(OF_THE_TABLE)
    ]
    assert len(paths) > 300
    found = {each for path in paths for each in found_in(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))}
    assert found == OTHER_MEANINGS


def test_every_place_of_the_table_is_there() -> None:
    """A moved file would hide others of its old name."""
    assert [place for place in OF_THE_TABLE if not (ROOT / place).exists()] == []


def test_names_are_found() -> None:
    """Names anywhere; those that are words only as literals or in code marks."""
    assert found_in("a", 'the chol of `age` and "ca"') == [("a", "chol"), ("a", "age"), ("a", "ca")]
    assert found_in("a", "the age of ssl.ca.location, and cholesterol") == []
