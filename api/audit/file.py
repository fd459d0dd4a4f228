"""The audit trail in a file: complete lines that are on disk before any response.

Several processes may write to one file, as in a rolling restart: each locks it while writing. After a rotation (rename)
the next line starts a new file.
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
_MIN_FREE_BYTES: Final = 65_536
_BLOCK_BYTES: Final = 65_536
_LINE_END: Final = b"\n"


class AuditFile:
    """Appends lines to a file that only its owner may read. Used by one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create it, and truncate a line left incomplete by a crash; raises OSError."""
        self._path = path
        self._file = self._open()
        with suppress(OSError), self._locked():
            self._truncate_incomplete_line()

    def write(self, lines: bytes) -> None:
        """Append all lines, or nothing; raises OSError."""
        self._reopen_if_rotated()
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            _write_all(self._file, lines)
            return
        with self._locked():
            size = self._truncate_incomplete_line()
            try:
                _write_all(self._file, lines)
                os.fdatasync(self._file)
            except OSError:
                # No partial line may remain; if this fails too, the next writer truncates it.
                os.ftruncate(self._file, size)
                raise

    def problem(self) -> str | None:
        """Return why it cannot be written; raises OSError."""
        space = os.fstatvfs(self._file)
        return None if space.f_bavail * space.f_frsize >= _MIN_FREE_BYTES else "has no space left"

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        """Open the file; the name of a new one is made durable before its first line."""
        is_new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        if is_new:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
            with suppress(OSError):
                os.fsync(folder)
            os.close(folder)
        return file

    def _reopen_if_rotated(self) -> None:
        """Reopen the file if it was rotated."""
        opened = os.fstat(self._file)
        with suppress(FileNotFoundError):
            named = self._path.stat()
            if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                return
        previous, self._file = self._file, self._open()
        os.close(previous)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _truncate_incomplete_line(self) -> int:
        """Truncate an incomplete line, which was never confirmed; returns the size."""
        size = end = os.fstat(self._file).st_size
        if not size or os.pread(self._file, 1, size - 1) == _LINE_END:
            return size
        while end:
            start = max(0, end - _BLOCK_BYTES)
            index = os.pread(self._file, end - start, start).rfind(_LINE_END)
            if index >= 0:
                end = start + index + 1
                break
            end = start
        os.ftruncate(self._file, end)
        events.AuditRepaired(size - end).emit()
        return end


class AuditStdout:
    """Writes lines to standard output, for a log collector."""

    def write(self, lines: bytes) -> None:
        """Write some lines; raises OSError."""
        _write_all(sys.stdout.fileno(), lines)

    def problem(self) -> str | None:
        """Return None: it is unknown where the output goes."""
        return None

    def close(self) -> None:
        """Leave standard output open."""


def _write_all(file: int, lines: bytes) -> None:
    """Write everything: on a full disk the first call writes a part, and only the next one fails."""
    remaining = memoryview(lines)
    while remaining:
        remaining = remaining[os.write(file, remaining) :]
