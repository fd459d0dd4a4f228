"""Folders that are either the old ones or the complete new ones, never half of each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.files import sync_folder, write_atomically

FOLDER_MODE: Final = 0o755
"""As FILE_MODE."""


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
