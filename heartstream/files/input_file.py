"""Input files: options, bytes and errors. `heartstream.files.records` opens them."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from heartstream.files.formats import PIPE, Compression, compression_of
from heartstream.optional_deps import files_extra
from schemas.errors import DataError, DependencyError
from schemas.read_options import ReadOptions
from schemas.text_encoding import Readable

NotesCallback = Callable[[Path, Sequence[str]], None]
"""Receives a file and notes on how it is read; none for a file without peculiarities."""


class InputOptions(msgspec.Struct, frozen=True):
    """How to read a file: options, the coding that was named, and who receives the notes."""

    options: ReadOptions = ReadOptions()
    coding: str | None = None
    on_notes: NotesCallback | None = None

    def report(self, path: Path, notes: Sequence[str]) -> None:
        """Report how a file is read."""
        if self.on_notes is not None:
            self.on_notes(path, notes)


class RawFile(io.RawIOBase):
    """The decompressed bytes of a file or pipe, and how many raw bytes were read."""

    def __init__(self, path: Path, closing: ExitStack) -> None:
        """Open the file; `closing` closes it. Raises DependencyError and SettingsError."""
        super().__init__()
        self._raw: io.FileIO
        if path == PIPE:
            self._raw = io.FileIO(sys.stdin.fileno(), closefd=False)
            self.total: int | None = None
        else:
            with read_errors(path):
                self._raw = closing.enter_context(path.open("rb", buffering=0))
                self.total = self._status()[0] if stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode) else None
        self._path, self._began, self._read = path, self._status(), 0
        self.content: Readable = _decompressed(self, compression_of(path), closing)

    def readable(self) -> bool:
        """Return True: pyarrow asks."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read what is available, at most `size` bytes; empty at the end."""
        part = self._raw.read(size) or b""
        self._read += len(part)
        return part

    def done(self) -> int:
        """Return the number of bytes read."""
        return self._read

    def _status(self) -> tuple[int, int]:
        found = os.fstat(self._raw.fileno())
        return found.st_size, found.st_mtime_ns

    def refuse_changed(self) -> None:
        """Raise DependencyError if the file changed while it was read: the result would not be of one file."""
        if self.total is not None and self._status() != self._began:
            raise changed_error(self._path)


def changed_error(path: Path) -> DependencyError:
    """Return the error for a file that changed while it was read."""
    return DependencyError(f"{path} changed while it was read: run again when nothing writes to it")


def _decompressed(raw: RawFile, compression: Compression, closing: ExitStack) -> Readable:
    match compression:
        case Compression.NONE:
            return raw
        case Compression.GZIP:
            return closing.enter_context(gzip.GzipFile(fileobj=raw, mode="rb"))
        case Compression.ZSTD:
            with files_extra():
                import pyarrow as pa  # noqa: PLC0415  # files extra only
            found: Readable = closing.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
            return found


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Convert errors of reading a file into our own."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is damaged, or not compressed as its name says") from error
    except OSError as error:
        if error.errno is None:
            raise DataError(f"{path} is damaged, or not compressed as its name says") from error
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def data_errors(path: Path) -> Iterator[None]:
    """Add the file's name to a DataError."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path} is refused: {error}") from error
