"""A file of a model directory is read only if it is one, and no larger than it should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scoring.model_artifact import MANIFEST_FILE, PREPROCESSOR_FILE, load
from tests.support.model_files import change_byte, refusal


@pytest.mark.parametrize("name", [MANIFEST_FILE, PREPROCESSOR_FILE, "random_forest.onnx"])
def test_pipe_is_not_read(folder: Path, name: str) -> None:
    """A named pipe in place of a file, whose reading would never end, is a refusal at once."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert (name in refusal(folder), "(not a regular file)" in refusal(folder)) == (True, True)


def test_link_to_a_device_is_not_read(folder: Path) -> None:
    """A link to a device that gives bytes without end is a refusal."""
    (folder / PREPROCESSOR_FILE).unlink()
    (folder / PREPROCESSOR_FILE).symlink_to("/dev/zero")
    assert "preprocessor.joblib: cannot be read (not a regular file)" in refusal(folder)


def test_link_counts_for_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    """Kubernetes mounts files as links: one to the right bytes is served, one to others is refused."""
    content, elsewhere = (folder / "random_forest.onnx").read_bytes(), tmp_path / "elsewhere"
    elsewhere.write_bytes(content)
    (folder / "random_forest.onnx").unlink()
    (folder / "random_forest.onnx").symlink_to(elsewhere)
    assert load(folder, "random_forest").onnx == content
    change_byte(elsewhere)
    assert "random_forest.onnx: has " in refusal(folder)


def test_file_of_another_size_is_not_read(folder: Path) -> None:
    """A file that grew is told by its size alone: a terabyte that hardly any disk holds is refused as fast."""
    size = (folder / PREPROCESSOR_FILE).stat().st_size
    os.truncate(folder / PREPROCESSOR_FILE, 1 << 40)
    assert f"preprocessor.joblib: has {1 << 40} bytes, expected {size}" in refusal(folder)


def test_manifest_without_end_is_not_read(folder: Path) -> None:
    """A manifest of more than 16 MiB is none."""
    os.truncate(folder / MANIFEST_FILE, 1 << 40)
    assert "cannot read manifest.json (File too large)" in refusal(folder)
