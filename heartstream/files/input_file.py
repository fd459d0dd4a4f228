"""How a file is read: its options, its bytes, and its errors. `heartstream.files.records` opens it."""

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
from schemas.encodings import Readable
from schemas.errors import DataError, DependencyError
from schemas.reading import ReadOptions

Announce = Callable[[Path, Sequence[str]], None]
"""Is given a file, and what was understood of it: nothing, where it is as plain as it can be."""


class Reading(msgspec.Struct, frozen=True):
    """How a file is to be read: options, the coding that was named, and whom to tell once what was understood."""

    options: ReadOptions = ReadOptions()
    coding: str | None = None
    announce: Announce | None = None

    def understood(self, path: Path, notes: Sequence[str]) -> None:
        """Say how a file was understood."""
        if self.announce is not None:
            self.announce(path, notes)


class RawFile(io.RawIOBase):
    """The bytes of a file or pipe, decompressed, and how many of them were read."""

    def __init__(self, path: Path, closing: ExitStack) -> None:
        """Open the file; it is closed by `closing`. Raises DependencyError and SettingsError."""
        super().__init__()
        self._raw: io.FileIO
        if path == PIPE:
            self._raw = io.FileIO(sys.stdin.fileno(), closefd=False)
            self.total: int | None = None
        else:
            with readable(path):
                self._raw = closing.enter_context(path.open("rb", buffering=0))
                self.total = self._status()[0] if stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode) else None
        self._path, self._began, self._read = path, self._status(), 0
        self.content: Readable = _decompressed(self, compression_of(path), closing)

    def readable(self) -> bool:
        """Say that it can be read: pyarrow asks."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read what is there, at most `size` bytes; nothing at the end."""
        part = self._raw.read(size) or b""
        self._read += len(part)
        return part

    def done(self) -> int:
        """Tell how many bytes were read."""
        return self._read

    def _status(self) -> tuple[int, int]:
        found = os.fstat(self._raw.fileno())
        return found.st_size, found.st_mtime_ns

    def refuse_changed(self) -> None:
        """Raise DependencyError if the file was written meanwhile: what was read of it is not a whole file."""
        if self.total is not None and self._status() != self._began:
            raise changed(self._path)


def changed(path: Path) -> DependencyError:
    """Return the error for a file that was written meanwhile."""
    return DependencyError(f"{path} was changed while it was read: begin again when nobody writes to it")


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
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into our own errors."""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is damaged, or not compressed as its name says") from error
    except OSError as error:
        if error.errno is None:
            raise DataError(f"{path} is damaged, or not compressed as its name says") from error
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Name the file that is refused."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path} is refused: {error}") from error
