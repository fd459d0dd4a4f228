"""Files and folders are replaced atomically, without leftovers."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runtime.files import write_atomically
from training.export.replace_folder import replace_folder


def test_file_is_replaced(tmp_path: Path) -> None:
    """Only the new content is in the folder, readable by others."""
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    write_atomically(path, b"new")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"new", [path])
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    """If the last step fails no temporary file stays."""
    path = tmp_path / "taken"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_folder_is_replaced_completely(tmp_path: Path) -> None:
    """Files that only the old folder had are gone."""
    folder = tmp_path / "model"
    replace_folder(folder, {"a": b"1", "b": b"2"})
    replace_folder(folder, {"b": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"b": b"3"}
    assert list(tmp_path.iterdir()) == [folder]


def test_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    """If a file cannot be written the old folder is unchanged and nothing is left beside it."""
    folder = tmp_path / "model"
    replace_folder(folder, {"a": b"1"})
    with pytest.raises(FileNotFoundError):
        replace_folder(folder, {"a": b"2", "no/such": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"1"}
    assert list(tmp_path.iterdir()) == [folder]


def test_link_is_followed(tmp_path: Path) -> None:
    """A symbolic link to a model directory stays, and its target is replaced."""
    folder, link = tmp_path / "real", tmp_path / "link"
    replace_folder(folder, {"a": b"1"})
    link.symlink_to(folder)
    replace_folder(link, {"a": b"2"})
    assert (link.is_symlink(), (folder / "a").read_bytes()) == (True, b"2")
