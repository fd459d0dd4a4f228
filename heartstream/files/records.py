"""Reading a file of records a batch at a time, with bounded memory. The same file gives the same batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

from heartstream.files.batching import LINES_BATCH_BYTES
from heartstream.files.formats import Format
from heartstream.files.input_file import RawFile, Reading, readable, refusing
from heartstream.optional_deps import files_extra
from schemas.encodings import Utf8Text
from schemas.errors import DataError
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
        from heartstream.files import csv_records, parquet_records  # noqa: PLC0415  # pyarrow
    opening = csv_records.CsvRecords if kind is Format.CSV else parquet_records.ParquetRecords
    return opening(path, closing, reading)
