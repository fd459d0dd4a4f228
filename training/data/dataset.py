"""UCI Heart Disease as published: its files with size and checksum, and the bundled snapshot of them.

`published_file` restores the published files from the snapshot byte for byte, so that their checksums verify the
snapshot, too. Licence CC BY 4.0, doi:10.24432/C52P4X.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from io import StringIO
from typing import Final

import msgspec

from schemas.tables.builtin import UCI_HEART

BASE_URL: Final = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/"
SITES: Final = ("cleveland", "hungarian", "switzerland", "va")
HEADER: Final = ("site", *UCI_HEART.names, "num")
"""The columns of the snapshot. The published files have no header and no site."""
MISSING: Final = "?"


class RemoteFile(msgspec.Struct, frozen=True):
    """A file to download, with its expected size in bytes and SHA-256 (hexadecimal)."""

    name: str
    size: int
    sha256: str


UCI_FILES: Final = (
    RemoteFile("processed.cleveland.data", 18461, "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8"),
    RemoteFile("processed.hungarian.data", 10263, "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796"),
    RemoteFile("processed.switzerland.data", 4109, "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314"),
    RemoteFile("processed.va.data", 6737, "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f"),
)


def file_name(site: str) -> str:
    """Return the name of a site's published file."""
    return f"processed.{site}.data"


def snapshot_rows() -> list[list[str]]:
    """Return the rows of the bundled snapshot as text, in the order of `HEADER`; missing values are ""."""
    text = files("training").joinpath("snapshot/heart_disease.csv").read_text("utf-8")
    return list(csv.reader(StringIO(text, newline="")))[1:]


def published_file(site: str) -> bytes:
    """Return a site's file as UCI publishes it, restored from the snapshot."""
    lines = (",".join(_cells(site, row[1:])) for row in snapshot_rows() if row[0] == site)
    return "".join(f"{line}\n" for line in lines).encode()


def _cells(site: str, cells: list[str]) -> list[str]:
    """Format a row as its site's file does. Cleveland's writes whole numbers with a point, except `num`."""
    cells = [cell or MISSING for cell in cells]
    if site == "cleveland":
        return [*(cell if cell == MISSING else str(float(cell)) for cell in cells[:-1]), cells[-1]]
    if site == "switzerland":
        return [cell.replace("0.", ".", 1) if cell.startswith(("0.", "-0.")) else cell for cell in cells]
    return cells


def format_number(value: float) -> str:
    """Format a number as in the snapshot: whole numbers without a point."""
    return str(int(value)) if value.is_integer() else repr(value)
