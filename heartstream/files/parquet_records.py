"""Parquet as Arrow batches, and the checks of column names and types; needs pyarrow."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from heartstream.files.batching import BATCH_ROWS
from heartstream.files.columns import numbers_as_text
from heartstream.files.formats import PIPE
from heartstream.files.input_file import InputOptions, changed_error, read_errors
from schemas.column_mapping import ColumnMapper, ColumnMapping
from schemas.errors import DataError
from schemas.read_options import ReadOptions
from schemas.tables.feature_table import PATIENT_ID, FeatureTable


class ParquetRecords:
    """A Parquet file. A pipe is copied to a temporary file first, as the index is at the end of the file."""

    missing: Mapping[str, int] = {}
    blank_rows = 0

    def __init__(self, path: Path, closing: ExitStack, table: FeatureTable, reading: InputOptions) -> None:
        """Open the file, check its columns, and report how it is read."""
        self._path, mapper = path, ColumnMapper(table)
        self._columns = mapper.columns
        with read_errors(path), _arrow_errors(path, "Parquet"):
            self._source = _spooled(closing) if path == PIPE else closing.enter_context(path.open("rb"))
            self._began = self._status()
            self._file = closing.enter_context(pyarrow.parquet.ParquetFile(self._source, pre_buffer=False))
            schema = self._file.schema_arrow
        plan = _plan(path, schema, reading.options, table)
        self._names = {
            name: schema.names[place]
            for name, place in zip(self._columns, plan.places, strict=True)
            if place is not None
        }
        self.total = self._file.metadata.num_rows
        self._rows = 0
        reading.report(path, plan.notes)

    def _status(self) -> tuple[int, int]:
        found = os.fstat(self._source.fileno())
        return found.st_size, found.st_mtime_ns

    def done(self) -> int:
        """Return the number of rows read."""
        return self._rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of rows, in the order of the file. Raises DependencyError if the file changes meanwhile."""
        try:
            yield from self._groups()
        except DataError:
            self._refuse_changed()
            raise
        self._refuse_changed()

    def _refuse_changed(self) -> None:
        if self._path != PIPE and self._status() != self._began:
            raise changed_error(self._path)

    def _groups(self) -> Iterator[pa.RecordBatch]:
        names = [*self._names.values()]
        found = self._file.iter_batches(BATCH_ROWS, columns=names, use_threads=False)
        while True:
            with _arrow_errors(self._path, f"Parquet after row {self._rows}"):
                batch = next(found, None)
            if batch is None:
                return
            columns = [batch.column(name) for name in names]
            if PATIENT_ID not in self._names:
                columns.insert(0, numbers_as_text(self._rows + 1, batch.num_rows))
            self._rows += batch.num_rows
            yield plain(pa.RecordBatch.from_arrays(columns, self._columns))


def _plan(path: Path, schema: pa.Schema, options: ReadOptions, table: FeatureTable) -> ColumnMapping:
    """Map the fields to columns. Raises DataError with every problem of names and types."""
    mapper = ColumnMapper(table)
    plan = mapper.map(schema.names, options)
    if isinstance(plan, list):
        fields = [field.with_name(mapper.field_of(field.name) or field.name) for field in schema]
        raise _refused(path, [*plan, *type_problems(fields, table)])
    places = zip(mapper.columns, plan.places, strict=True)
    fields = [schema.field(place).with_name(name) for name, place in places if place is not None]
    if problems := type_problems(fields, table, numbered=options.id_column is not None):
        raise _refused(path, problems)
    return plan


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with its ids as plain strings, whatever their encoding in the file."""
    if batch.schema.field(0).type == pa.string():
        return batch
    return pa.RecordBatch.from_arrays([batch.column(0).cast(pa.string()), *batch.columns[1:]], batch.schema.names)


def _spooled(closing: ExitStack) -> Any:
    copy = closing.enter_context(TemporaryFile())  # noqa: SIM115  # `closing` closes it
    shutil.copyfileobj(sys.stdin.buffer, copy)
    copy.seek(0)
    return copy


@contextmanager
def _arrow_errors(path: Path, what: str) -> Iterator[None]:
    """Convert pyarrow's errors, whose messages hold cells, into our own."""
    with read_errors(path):
        try:
            yield
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"{path} is refused: {what} cannot be read") from error


def type_problems(fields: Sequence[pa.Field], table: FeatureTable, *, numbered: bool = False) -> list[str]:
    """Return the problems of columns whose types do not fit their fields; unknown columns are ignored.

    With `numbered`, ids may be integers: the user named their column.
    """
    return [
        wrong_type(field.name, table)
        for field in fields
        if field.name in {PATIENT_ID, *table.names}
        and not _may_be(field, table)
        and not (numbered and field.name == PATIENT_ID and pa.types.is_integer(field.type))
    ]


def name_problems(names: Sequence[object], table: FeatureTable) -> list[str]:
    """Return the problems of column names that must be exactly the names of the fields."""
    columns, problems = (PATIENT_ID, *table.names), []
    if absent := [name for name in columns if name not in names]:
        problems.append(f"no column {', '.join(absent)}")
    if unknown := sum(name not in columns for name in names):
        problems.append(f"{unknown} column(s) that are not fields of a patient record")
    if repeated := [name for name in columns if names.count(name) > 1]:
        problems.append(f"more than one column {', '.join(repeated)}")
    return problems


def wrong_type(name: str, table: FeatureTable) -> str:
    """Return the problem of a column with the wrong type."""
    return f"{name} is not a column of {'text' if is_text(name, table) else 'integers or floats'}"


def is_text(name: str, table: FeatureTable) -> bool:
    """Return whether a column holds texts."""
    return name == PATIENT_ID or bool(table.by_name[name].labels)


_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def _is_one_of(kind: pa.DataType, tests: Sequence[Callable[[pa.DataType], bool]]) -> bool:
    return any(test(kind) for test in tests)


def _may_be(field: pa.Field, table: FeatureTable) -> bool:
    kind = field.type
    if not is_text(field.name, table):
        return _is_one_of(kind, _NUMBERS)
    return _is_one_of(kind.value_type if pa.types.is_dictionary(kind) else kind, _TEXTS)


def _refused(path: Path, problems: Sequence[str]) -> DataError:
    return DataError(f"{path} is refused: {'; '.join(problems)}")
