"""Reads a file of records in batches, with bounded memory. The same file gives the same batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

from heartstream.files.batching import LINES_BATCH_BYTES
from heartstream.files.formats import Format
from heartstream.files.input_file import InputOptions, RawFile, data_errors, read_errors
from heartstream.optional_deps import files_extra
from schemas.errors import DataError
from schemas.records import RECORD_MAX_BYTES
from schemas.tables.feature_table import FeatureTable
from schemas.text_encoding import Utf8Text
from scoring.lines import Lines

_DOCUMENT: Final = re.compile(rb"\s*(\[\s*(\{|\Z)|\{\s*\Z)")


class Records(Protocol):
    """A file of records, in batches: lines of JSON records, or Arrow batches for `columns_of`.

    `total` is the size of the file in bytes or rows, None if it is unknown.
    """

    total: int | None

    @property
    def missing(self) -> Mapping[str, int]:
        """The number of cells read as not measured, by their text."""
        ...

    @property
    def blank_rows(self) -> int:
        """The number of skipped rows that have only empty cells."""
        ...

    def done(self) -> int:
        """Return how much of `total` was read."""
        ...

    def batches(self) -> Iterator[object]:
        """Yield the batches. Raises DataError if the file is malformed."""
        ...


class NdjsonRecords:
    """One JSON record per line, as on the topic; blank lines are skipped."""

    missing: Mapping[str, int] = {}
    blank_rows = 0

    def __init__(self, path: Path, closing: ExitStack, reading: InputOptions) -> None:
        """Open the file."""
        self._path = path
        self._file = RawFile(path, closing)
        self.total = self._file.total
        self.done = self._file.done
        with read_errors(path), data_errors(path):
            self._text = Utf8Text(self._file.content, reading.options.encoding)
        reading.report(path, self._text.notes)

    def batches(self) -> Iterator[Lines]:
        """Yield lines, some thousands at a time; from a pipe, the available ones.

        Raises DependencyError if the file changes meanwhile.
        """
        try:
            yield from self._blocks()
        except DataError:
            self._file.refuse_changed()
            raise
        self._file.refuse_changed()

    def _blocks(self) -> Iterator[Lines]:
        rest, is_first = b"", True
        while True:
            with read_errors(self._path), data_errors(self._path):
                part = self._text.read(LINES_BATCH_BYTES)
            if not part:
                break
            block, _, rest = (rest + part).rpartition(b"\n")
            # A longer record is rejected unread, so its start is enough.
            rest = rest[: RECORD_MAX_BYTES + 1]
            if block and not block.isspace():
                if is_first:
                    _refuse_document(self._path, block)
                    is_first = False
                yield Lines(block)
        if rest.strip():
            if is_first:
                _refuse_document(self._path, rest)
            yield Lines(rest)


def _refuse_document(path: Path, text: bytes) -> None:
    """Raise DataError if the first line begins an array, or an object that spans lines."""
    if _DOCUMENT.match(text.lstrip().split(b"\n", 1)[0]):
        raise DataError(
            f"{path} is refused: it is one JSON document, not one record per line: jq -c '.[]' FILE converts an array, "
            "jq -c . FILE records that span several lines"
        )


def open_records(
    path: Path,
    kind: Format,
    closing: ExitStack,
    table: FeatureTable,
    reading: InputOptions = InputOptions(),  # noqa: B008  # it is frozen
) -> Records:
    """Open a file of records of a feature table.

    Raises DataError, DependencyError, and SettingsError for invalid options or a missing library.
    """
    reading.options.check()
    table.check_coding(reading.coding)
    if kind is Format.NDJSON:
        return NdjsonRecords(path, closing, reading)
    with files_extra():
        from heartstream.files import csv_records, parquet_records  # noqa: PLC0415  # pyarrow
    opening = csv_records.CsvRecords if kind is Format.CSV else parquet_records.ParquetRecords
    return opening(path, closing, table, reading)
