"""The audit trail in a file: whole lines that are on the disk before anybody is answered.

Several processes may write to one file, as in a rolling restart: each locks it for as long as it writes. A file that
was moved away, to be rotated, is left alone from the next line on, and one of its name is begun.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from runtime import events

_MODE: Final = 0o600
_SPARE_BYTES: Final = 65_536
_BLOCK: Final = 65_536
_LINE_END: Final = b"\n"


class AuditFile:
    """Appends lines to a file that its owner alone may read. One thread calls."""

    def __init__(self, path: Path) -> None:
        """Open or create it, and cut off what a crash left of a line; raises OSError."""
        self._path = path
        self._file = self._opened()
        with suppress(OSError), self._locked():
            self._repair()

    def write(self, lines: bytes) -> None:
        """Append some whole lines, or nothing; raises OSError."""
        self._follow()
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            _write_all(self._file, lines)
            return
        with self._locked():
            size = self._repair()
            try:
                _write_all(self._file, lines)
                os.fdatasync(self._file)
            except OSError:
                # No half of a line may stay; if this fails too, the next one to write cuts it off.
                os.ftruncate(self._file, size)
                raise

    def problem(self) -> str | None:
        """Say what will keep it from being written; raises OSError."""
        space = os.fstatvfs(self._file)
        return None if space.f_bavail * space.f_frsize >= _SPARE_BYTES else "has no space left"

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _opened(self) -> int:
        """Return the open file; a new one is named for good before a line is in it."""
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        if is_new:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            with suppress(OSError):
                os.fsync(folder)
            os.close(folder)
        return file

    def _follow(self) -> None:
        """Open what has the name now."""
        ours = os.fstat(self._file)
        with suppress(FileNotFoundError):
            named = self._path.stat()
            if (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino):
                return
        before, self._file = self._file, self._opened()
        os.close(before)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _repair(self) -> int:
        """Cut off the beginning of a line that was never answered; returns the size."""
        size = end = os.fstat(self._file).st_size
        if not size or os.pread(self._file, 1, size - 1) == _LINE_END:
            return size
        while end:
            start = max(0, end - _BLOCK)
            place = os.pread(self._file, end - start, start).rfind(_LINE_END)
            if place >= 0:
                end = start + place + 1
                break
            end = start
        os.ftruncate(self._file, end)
        events.AuditRepaired(size - end).emit()
        return end


class AuditOutput:
    """Writes lines to standard output, for whoever collects that."""

    def write(self, lines: bytes) -> None:
        """Write some lines; raises OSError."""
        _write_all(sys.stdout.fileno(), lines)

    def problem(self) -> str | None:
        """Nothing is known of where it goes."""
        return None

    def close(self) -> None:
        """Leave it open."""


def _write_all(file: int, lines: bytes) -> None:
    """Write all of it: a disk that fills up takes a part first, and says so at the next call."""
    left = memoryview(lines)
    while left:
        left = left[os.write(file, left) :]
