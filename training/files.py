"""Files and folders that are either the old ones or the complete new ones, never half of each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
"""Temporary files are private to their owner; what replaces a published file must be readable by those who serve it."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, on disk before it is visible. Raises OSError and then leaves the old file alone."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        scratch.chmod(FILE_MODE)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def replace_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make `folder` hold exactly `contents`. Raises OSError and then leaves the old folder where it was.

    All files are written and synced in a new folder beside it; then the two change places. Between the two renames
    there is an instant without a folder: a reader that meets it must try again.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new.", dir=folder.parent))
    try:
        for name, content in contents.items():
            write_atomically(scratch / name, content)
        scratch.chmod(FOLDER_MODE)
        _swap(scratch, folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`, which is deleted last."""
    if not folder.exists():
        new.rename(folder)
        _sync_folder(folder.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    _sync_folder(folder.parent)
    shutil.rmtree(old)


def _sync_folder(folder: Path) -> None:
    """Put a folder's list of names on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
