"""Atomic replacement of a folder: readers see the old or the complete new content."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.files import sync_folder, write_atomically

FOLDER_MODE: Final = 0o755
"""As `runtime.files.FILE_MODE`."""


def replace_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Replace the content of `folder` by `contents`. On OSError the old folder stays.

    All files are written and synced in a new folder beside it; then the folders are swapped. Between the two renames
    there is a moment without a folder, in which a reader must retry.
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
    """Rename `new` to `folder`; the old folder is deleted last."""
    if not folder.exists():
        new.rename(folder)
        sync_folder(folder.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    sync_folder(folder.parent)
    shutil.rmtree(old)
