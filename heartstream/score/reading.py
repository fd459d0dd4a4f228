"""Reading a file a batch at a time, with bounded memory. The same file gives the same batches."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from heartstream.extras import files_extra
from heartstream.score.batching import LINES_BATCH_BYTES
from heartstream.score.formats import PIPE, Compression, Format, compression_of
from schemas.errors import DataError, DependencyError
from schemas.records import RECORD_MAX_BYTES


class Source(Protocol):
    """A file that is read: how much of it there is, and how much of that is done, in rows or bytes.

    `total` is None where it cannot be known.
    """

    total: int | None

    def done(self) -> int:
        """Tell how far the reading is."""
        ...


class Records(Source, Protocol):
    """A file of records, as batches: lists of JSON records, or Arrow batches as `columns_of` takes them."""

    def batches(self) -> Iterator[object]:
        """Yield the batches; raises DataError where the file is not what it should be."""
        ...


class Readable(Protocol):
    """Bytes to be read."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes; nothing at the end."""
        ...


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
                self.total = path.stat().st_size
        self._read = 0
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


class NdjsonRecords:
    """A JSON record a line, as on the topic; blank lines are none."""

    def __init__(self, path: Path, closing: ExitStack) -> None:
        """Open the file."""
        self._path = path
        self._file = RawFile(path, closing)
        self.total = self._file.total
        self.done = self._file.done

    def batches(self) -> Iterator[list[bytes]]:
        """Yield lines, some thousands at a time; from a pipe, those that are there."""
        rest = b""
        while True:
            with readable(self._path):
                part = self._file.content.read(LINES_BATCH_BYTES)
            if not part:
                break
            *ready, rest = (rest + part).split(b"\n")
            # A longer record is refused unread, so its start is enough of it.
            rest = rest[: RECORD_MAX_BYTES + 1]
            if lines := [line for line in ready if line.strip()]:
                yield lines
        if rest.strip():
            yield [rest]


def open_records(path: Path, kind: Format, closing: ExitStack) -> Records:
    """Open a file of records. Raises DataError, DependencyError, and SettingsError where a library is missing."""
    if kind is Format.NDJSON:
        return NdjsonRecords(path, closing)
    with files_extra():
        from heartstream.score import tables  # noqa: PLC0415  # pyarrow
    return tables.CsvRecords(path, closing) if kind is Format.CSV else tables.ParquetRecords(path, closing)
