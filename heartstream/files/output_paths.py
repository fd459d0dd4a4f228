"""Which files a run may write: not its own input, no device, FIFO or directory, and no file of another run."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from heartstream.files.formats import PIPE
from schemas.errors import SettingsError

FILE_MODE: Final = 0o600
"""Scores and rejected rows are patient data: only the owner may read them, whatever the umask."""


def partial_path(path: Path) -> Path:
    """Return the path of `path` while it is being written."""
    return path.with_name(f"{path.name}.partial")


def journal_path(path: Path) -> Path:
    """Return the path of the journal of a run that writes `path`."""
    return path.with_name(f"{path.name}.journal")


def new_journal_path(path: Path) -> Path:
    """Return the temporary path of the next journal of a run that writes `path`."""
    return path.with_name(f"{path.name}.journal.new")


def final_paths(output: Path, errors: Path | None) -> list[Path]:
    """Return the files that a run publishes."""
    return [path for path in (output, errors) if path is not None and path != PIPE]


def path_problems(source: Path, output: Path, errors: Path | None) -> list[str]:
    """Return the problems of paths that must not be written even with --force."""
    final = final_paths(output, errors)
    scratch = [partial_path(path) for path in final]
    if output != PIPE:
        scratch += [journal_path(output), new_journal_path(output)]
    names = [path.parent.resolve() / path.name for path in (*final, *scratch)]
    problems = [] if len({*names}) == len(names) else ["--errors needs its own file"]
    read = _source_status(source)
    for path in (*final, *scratch):
        problems += _problems_of(path, read, follow=path in final)
    return problems


def _source_status(source: Path) -> os.stat_result | None:
    """Return the status of the input, None if it does not exist: opening it reports that."""
    try:
        return os.fstat(sys.stdin.fileno()) if source == PIPE else source.stat()
    except (OSError, ValueError):
        return None


def _problems_of(path: Path, read: os.stat_result | None, *, follow: bool) -> Iterator[str]:
    """Yield why a path must not be written. A symbolic link may be replaced, but is never followed."""
    try:
        found = path.stat(follow_symlinks=follow)
    except OSError:
        return
    if read is not None and os.path.samestat(found, read):
        yield f"{path} is the input file: choose another name"
    elif not stat.S_ISREG(found.st_mode):
        yield f"{path} is not a regular file and is not replaced: choose another name, or -o - for standard output"


def existing(output: Path, errors: Path | None) -> list[str]:
    """Return the problems of files that would be replaced."""
    return [f"{path} exists: --force replaces it" for path in final_paths(output, errors) if os.path.lexists(path)]


def open_locked(path: Path, *, create: bool) -> BinaryIO:
    """Open and lock the partial file of `path`. Raises OSError, and SettingsError if another run has locked it."""
    partial, flags = partial_path(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    while True:
        file = os.fdopen(os.open(partial, flags, FILE_MODE), "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The run that held the lock may have published the file meanwhile: then it must not be written.
            if os.path.lexists(partial) and os.path.samestat(os.fstat(file.fileno()), partial.lstat()):
                os.fchmod(file.fileno(), FILE_MODE)
                return file
            file.close()
        except BlockingIOError:
            file.close()
            raise SettingsError(
                (f"another run is writing {path}: wait until it ends, or choose another name",)
            ) from None
        except BaseException:
            file.close()
            raise
