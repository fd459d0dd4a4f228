"""Reading a file a batch at a time, with bounded memory. The same file gives the same batches."""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from heartstream.extras import files_extra
from heartstream.score.batching import LINES_BATCH_BYTES
from heartstream.score.formats import PIPE, Compression, Format, compression_of
from schemas.encodings import Readable, Utf8Text
from schemas.errors import DataError, DependencyError
from schemas.reading import ReadOptions
from schemas.records import RECORD_MAX_BYTES

_DOCUMENT: Final = re.compile(rb"\s*(\[\s*(\{|\Z)|\{\s*\Z)")


class Source(Protocol):
    """A file that is read: how much of it there is, and how much of that is done, in rows or bytes.

    `total` is None where it cannot be known. `missing` counts cells that were read as not measured, by their text, and
    `blank_rows` rows of nothing but empty cells, which are left out.
    """

    total: int | None

    @property
    def missing(self) -> Mapping[str, int]:
        """Say how many cells were read as not measured."""
        ...

    @property
    def blank_rows(self) -> int:
        """Say how many rows were left out."""
        ...

    def done(self) -> int:
        """Tell how far the reading is."""
        ...


class Records(Source, Protocol):
    """A file of records, as batches: lists of JSON records, or Arrow batches as `columns_of` takes them."""

    def batches(self) -> Iterator[object]:
        """Yield the batches; raises DataError where the file is not what it should be."""
        ...


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


class NdjsonRecords:
    """A JSON record a line, as on the topic; blank lines are none."""

    missing: Mapping[str, int] = {}
    blank_rows = 0

    def __init__(self, path: Path, closing: ExitStack, reading: Reading) -> None:
        """Open the file."""
        self._path = path
        self._file = RawFile(path, closing)
        self.total = self._file.total
        self.done = self._file.done
        with readable(path), refusing(path):
            self._text = Utf8Text(self._file.content, reading.options.encoding)
        reading.understood(path, self._text.notes)

    def batches(self) -> Iterator[list[bytes]]:
        """Yield lines, some thousands at a time; from a pipe, those that are there.

        Raises DependencyError if the file was written meanwhile.
        """
        try:
            yield from self._blocks()
        except DataError:
            self._file.refuse_changed()
            raise
        self._file.refuse_changed()

    def _blocks(self) -> Iterator[list[bytes]]:
        rest, is_first = b"", True
        while True:
            with readable(self._path), refusing(self._path):
                part = self._text.read(LINES_BATCH_BYTES)
            if not part:
                break
            *ready, rest = (rest + part).split(b"\n")
            # A longer record is refused unread, so its start is enough of it.
            rest = rest[: RECORD_MAX_BYTES + 1]
            if lines := [line for line in ready if line.strip()]:
                if is_first:
                    _refuse_document(self._path, lines[0])
                    is_first = False
                yield lines
        if rest.strip():
            if is_first:
                _refuse_document(self._path, rest)
            yield [rest]


def _refuse_document(path: Path, first: bytes) -> None:
    """Raise DataError where the first line begins an array, or an object that goes on in the next line."""
    if _DOCUMENT.match(first):
        raise DataError(
            f"{path} is refused: it is one JSON document and not a record a line: jq -c '.[]' FILE makes lines of an "
            "array, jq -c . FILE of records that go over several lines"
        )


def open_records(path: Path, kind: Format, closing: ExitStack, reading: Reading = Reading()) -> Records:  # noqa: B008  # it is frozen
    """Open a file of records. Raises DataError, DependencyError, and SettingsError where a library is missing."""
    reading.options.check()
    if kind is Format.NDJSON:
        return NdjsonRecords(path, closing, reading)
    with files_extra():
        from heartstream.score import csv_records, tables  # noqa: PLC0415  # pyarrow
    opening = csv_records.CsvRecords if kind is Format.CSV else tables.ParquetRecords
    return opening(path, closing, reading)
