"""The snapshot is UCI's publication, complete and unchanged."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.dataset import (
    HEADER,
    SITES,
    UCI_FILES,
    RemoteFile,
    file_name,
    format_number,
    published_file,
    snapshot_rows,
)
from training.data.make_snapshot import as_csv, to_uci

MISSING = {
    "cleveland": {"ca": 4, "thal": 2},
    "hungarian": {
        "trestbps": 1, "chol": 23, "fbs": 8, "restecg": 1, "thalach": 1, "exang": 1,
        "slope": 190, "ca": 291, "thal": 266,
    },
    "switzerland": {
        "trestbps": 2, "fbs": 75, "restecg": 1, "thalach": 1, "exang": 1, "oldpeak": 6,
        "slope": 17, "ca": 118, "thal": 52,
    },
    "va": {
        "trestbps": 56, "chol": 7, "fbs": 7, "thalach": 53, "exang": 53, "oldpeak": 56,
        "slope": 102, "ca": 198, "thal": 166,
    },
}  # fmt: skip


def rows_of(site: str) -> list[dict[str, str]]:
    """Return a site's rows of the snapshot."""
    return [dict(zip(HEADER, row, strict=True)) for row in snapshot_rows() if row[0] == site]


@pytest.mark.parametrize("file", UCI_FILES, ids=lambda file: file.name)
def test_snapshot_gives_back_the_published_bytes(file: RemoteFile) -> None:
    """Written in UCI's format a site's rows have the size and SHA-256 of UCI's file."""
    site = next(site for site in SITES if file_name(site) == file.name)
    content = published_file(site)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


@pytest.mark.parametrize(("site", "rows"), [("cleveland", 303), ("hungarian", 294), ("switzerland", 123), ("va", 200)])
def test_each_site_has_its_patients(site: str, rows: int) -> None:
    """No patient is lost, added or moved to another hospital."""
    assert len(rows_of(site)) == rows


@pytest.mark.parametrize(
    ("site", "counts"),
    [
        ("cleveland", (164, 55, 36, 35, 13)),
        ("hungarian", (188, 106, 0, 0, 0)),
        ("switzerland", (8, 48, 32, 30, 5)),
        ("va", (51, 56, 41, 42, 10)),
    ],
)
def test_each_site_has_its_findings(site: str, counts: tuple[int, ...]) -> None:
    """The angiographic findings 0 to 4 are as frequent as published."""
    found = Counter(row["num"] for row in rows_of(site))
    assert tuple(found[str(num)] for num in range(5)) == counts


@pytest.mark.parametrize("site", SITES)
def test_each_field_is_missing_as_often_as_published(site: str) -> None:
    """Cells are empty where UCI has a question mark."""
    missing = Counter(name for row in rows_of(site) for name, cell in row.items() if not cell)
    assert dict(missing) == MISSING[site]


@pytest.mark.parametrize(("site", "chol", "trestbps"), [
    ("cleveland", 0, 0), ("hungarian", 0, 0), ("switzerland", 123, 0), ("va", 49, 1),
])  # fmt: skip
def test_zeros_are_kept_as_published(site: str, chol: int, trestbps: int) -> None:
    """Zeros for a missing measurement are in the snapshot and are blanked only when it is read."""
    rows = rows_of(site)
    assert [sum(row[name] == "0" for row in rows) for name in ("chol", "trestbps")] == [chol, trestbps]


def test_snapshot_has_a_canonical_form() -> None:
    """Writing the rows again gives the same file, with every number in its plain form."""
    rows = [tuple(row) for row in snapshot_rows()]
    assert as_csv(rows) == files("training").joinpath("snapshot/heart_disease.csv").read_bytes()
    cells = [cell for row in rows for cell in row[1:] if cell]
    assert [format_number(float(cell)) for cell in cells] == cells


def test_attribution_names_those_who_gave_the_data() -> None:
    """Licence, source, the four principal investigators and the changes made."""
    text = files("training").joinpath("snapshot/ATTRIBUTION.md").read_text("utf-8")
    wanted = ("CC BY 4.0", "10.24432/C52P4X", "Janosi", "Steinbrunn", "Pfisterer", "Detrano", "Changes made")
    assert [word for word in wanted if word not in text] == []


def test_words_become_codes() -> None:
    """A row of the copy with codes in words has UCI's codes, with missing values empty."""
    words = {
        "id": "1", "age": "63", "sex": "Male", "dataset": "Cleveland", "cp": "asymptomatic", "trestbps": "145",
        "chol": "0", "fbs": "TRUE", "restecg": "lv hypertrophy", "thalch": "150", "exang": "FALSE", "oldpeak": "2.30",
        "slope": "downsloping", "ca": "", "thal": "reversable defect", "num": "2",
    }  # fmt: skip
    assert to_uci(words) == ("cleveland", "63", "1", "4", "145", "0", "1", "2", "150", "0", "2.3", "3", "", "7", "2")
    assert to_uci({**words, "id": "304"})[0] == "hungarian"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_plain_numbers_are_lossless(value: float) -> None:
    """A number in the snapshot's form is read back exactly."""
    assert float(format_number(value)) == value
