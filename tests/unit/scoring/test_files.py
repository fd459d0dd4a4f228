"""Files of a model directory are read only if they are regular files of the expected size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scoring.model_artifact import MANIFEST_FILE, PREPROCESSOR_FILE, load
from tests.support.model_files import change_byte, refusal


@pytest.mark.parametrize("name", [MANIFEST_FILE, PREPROCESSOR_FILE, "random_forest.onnx"])
def test_named_pipe_is_not_read(folder: Path, name: str) -> None:
    """A named pipe in place of a file, which would block forever, is refused at once."""
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert (name in refusal(folder), "(not a regular file)" in refusal(folder)) == (True, True)


def test_link_to_a_device_is_not_read(folder: Path) -> None:
    """A link to a device with endless content is refused."""
    (folder / PREPROCESSOR_FILE).unlink()
    (folder / PREPROCESSOR_FILE).symlink_to("/dev/zero")
    assert "preprocessor.joblib: cannot be read (not a regular file)" in refusal(folder)


def test_link_is_followed_to_a_regular_file(folder: Path, tmp_path: Path) -> None:
    """Kubernetes mounts files as links: the target's bytes decide whether it is accepted."""
    content, target = (folder / "random_forest.onnx").read_bytes(), tmp_path / "elsewhere"
    target.write_bytes(content)
    (folder / "random_forest.onnx").unlink()
    (folder / "random_forest.onnx").symlink_to(target)
    assert load(folder, "random_forest").onnx == content
    change_byte(target)
    assert "random_forest.onnx: has " in refusal(folder)


def test_file_of_another_size_is_not_read(folder: Path) -> None:
    """A file that grew is refused by its size alone: a sparse terabyte is refused without reading it."""
    size = (folder / PREPROCESSOR_FILE).stat().st_size
    os.truncate(folder / PREPROCESSOR_FILE, 1 << 40)
    assert f"preprocessor.joblib: has {1 << 40} bytes, expected {size}" in refusal(folder)


def test_oversized_manifest_is_not_read(folder: Path) -> None:
    """A manifest of more than 16 MiB is refused."""
    os.truncate(folder / MANIFEST_FILE, 1 << 40)
    assert "cannot read manifest.json (File too large)" in refusal(folder)
