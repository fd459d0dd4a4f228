"""Which files a run may write: never its own input, never a device, a FIFO or a directory, and one run at a time."""

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
"""Scores and rejected rows are patients' data: only their owner reads them, whatever the umask."""


def partial_of(path: Path) -> Path:
    """Name the file that `path` is while it is written."""
    return path.with_name(f"{path.name}.partial")


def journal_of(path: Path) -> Path:
    """Name the journal of a run that writes `path`."""
    return path.with_name(f"{path.name}.journal")


def new_journal_of(path: Path) -> Path:
    """Name the file that becomes the next journal of a run that writes `path`."""
    return path.with_name(f"{path.name}.journal.new")


def finals(output: Path, errors: Path | None) -> list[Path]:
    """Return the files that a run publishes."""
    return [path for path in (output, errors) if path is not None and path != PIPE]


def target_problems(source: Path, output: Path, errors: Path | None) -> list[str]:
    """List the files that this run must not write, whatever --force says."""
    final = finals(output, errors)
    scratch = [partial_of(path) for path in final]
    if output != PIPE:
        scratch += [journal_of(output), new_journal_of(output)]
    names = [path.parent.resolve() / path.name for path in (*final, *scratch)]
    problems = [] if len({*names}) == len(names) else ["--errors needs a file of its own"]
    read = _source_status(source)
    for path in (*final, *scratch):
        problems += _problems_of(path, read, follow=path in final)
    return problems


def _source_status(source: Path) -> os.stat_result | None:
    """Return the status of the input; None where there is none, which is found out when it is opened."""
    try:
        return os.fstat(sys.stdin.fileno()) if source == PIPE else source.stat()
    except (OSError, ValueError):
        return None


def _problems_of(path: Path, read: os.stat_result | None, *, follow: bool) -> Iterator[str]:
    """Say why a name must not be written. A symbolic link may be replaced; it is never written through."""
    try:
        found = path.stat(follow_symlinks=follow)
    except OSError:
        return
    if read is not None and os.path.samestat(found, read):
        yield f"{path} is the file that is read: choose another name"
    elif not stat.S_ISREG(found.st_mode):
        yield f"{path} is not a regular file and is not replaced: choose another name, or -o - for standard output"


def existing(output: Path, errors: Path | None) -> list[str]:
    """List the files that would be replaced."""
    return [f"{path} exists: --force replaces it" for path in finals(output, errors) if os.path.lexists(path)]


def open_locked(path: Path, *, create: bool) -> BinaryIO:
    """Open the partial file of `path` for this run alone. Raises OSError, and SettingsError if another run has it."""
    partial, flags = partial_of(path), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    while True:
        file = os.fdopen(os.open(partial, flags, FILE_MODE), "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The run that held the lock may have published the file meanwhile: then this is its result.
            if os.path.lexists(partial) and os.path.samestat(os.fstat(file.fileno()), partial.lstat()):
                os.fchmod(file.fileno(), FILE_MODE)
                return file
            file.close()
        except BlockingIOError:
            file.close()
            raise SettingsError(
                (f"another run writes {path}: wait until it has ended, or choose another name",)
            ) from None
        except BaseException:
            file.close()
            raise
