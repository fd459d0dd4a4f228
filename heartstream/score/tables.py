"""Files of columns, CSV and Parquet, as Arrow batches; needs pyarrow."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from heartstream.score.batching import BATCH_ROWS, CSV_BATCH_BYTES
from heartstream.score.columns import COLUMN_NAMES
from heartstream.score.formats import PIPE
from heartstream.score.reading import RawFile, readable
from schemas.errors import DataError

_CELLS: Final = pa.dictionary(pa.int32(), pa.string())
_CELL_TYPES: Final = {name: pa.string() if name == "patient_id" else _CELLS for name in COLUMN_NAMES}


class CsvRecords:
    """Comma-separated values with a header."""

    def __init__(self, path: Path, closing: ExitStack) -> None:
        """Open the file and check its header."""
        self._path = path
        self._file = RawFile(path, closing)
        self.total = self._file.total
        self.done = self._file.done
        with _as_told(path, "CSV"):
            self._reader = closing.enter_context(
                pyarrow.csv.open_csv(
                    pa.PythonFile(self._file.content, mode="r"),
                    pyarrow.csv.ReadOptions(block_size=CSV_BATCH_BYTES, use_threads=False),
                    pyarrow.csv.ParseOptions(newlines_in_values=True),
                    pyarrow.csv.ConvertOptions(
                        check_utf8=False,
                        column_types=_CELL_TYPES,
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=True,
                    ),
                )
            )
            names = self._reader.schema.names
        refuse(path, name_problems(names))
        self._order = [names.index(name) for name in COLUMN_NAMES]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of about half a megabyte of the file."""
        rows = 0
        while True:
            with _as_told(self._path, f"CSV after row {rows}"):
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    return
            rows += batch.num_rows
            yield batch.select(self._order)


class ParquetRecords:
    """A Parquet file. From a pipe it is copied to a temporary file first, for its index stands at its end."""

    def __init__(self, path: Path, closing: ExitStack) -> None:
        """Open the file and check its columns."""
        self._path = path
        with readable(path), _as_told(path, "Parquet"):
            source = _spooled(closing) if path == PIPE else closing.enter_context(path.open("rb"))
            self._file = closing.enter_context(pyarrow.parquet.ParquetFile(source, pre_buffer=False))
            schema = self._file.schema_arrow
        refuse(path, [*name_problems(schema.names), *type_problems(schema)])
        self.total = self._file.metadata.num_rows
        self._rows = 0

    def done(self) -> int:
        """Tell how many rows were read."""
        return self._rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of rows, in the file's order."""
        found = self._file.iter_batches(BATCH_ROWS, columns=list(COLUMN_NAMES), use_threads=False)
        while True:
            with _as_told(self._path, f"Parquet after row {self._rows}"):
                batch = next(found, None)
            if batch is None:
                return
            self._rows += batch.num_rows
            yield plain(batch.select(COLUMN_NAMES))


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with its ids as plain strings, however the file keeps them."""
    if batch.schema.field(0).type == pa.string():
        return batch
    return pa.RecordBatch.from_arrays([batch.column(0).cast(pa.string()), *batch.columns[1:]], COLUMN_NAMES)


def _spooled(closing: ExitStack) -> Any:
    copy = closing.enter_context(TemporaryFile())  # noqa: SIM115  # it is closed with all else
    shutil.copyfileobj(sys.stdin.buffer, copy)
    copy.seek(0)
    return copy


@contextmanager
def _as_told(path: Path, what: str) -> Iterator[None]:
    """Turn pyarrow's errors, whose texts hold cells, into our own."""
    with readable(path):
        try:
            yield
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not what it should be: {what} cannot be read") from error


def name_problems(names: Sequence[str]) -> list[str]:
    """Tell all that is wrong with columns' names; unknown ones may be anything and are counted."""
    problems = []
    if absent := [name for name in COLUMN_NAMES if name not in names]:
        problems.append(f"no column {', '.join(absent)}")
    if unknown := sum(name not in COLUMN_NAMES for name in names):
        problems.append(f"{unknown} column(s) that are no field of a patient record")
    if repeated := [name for name in COLUMN_NAMES if names.count(name) > 1]:
        problems.append(f"more than one column {', '.join(repeated)}")
    return problems


def type_problems(schema: pa.Schema) -> list[str]:
    """Tell which columns have types that a record's fields cannot be; nothing of unknown ones."""
    return [wrong_type(field.name) for field in schema if field.name in COLUMN_NAMES and not _may_be(field)]


def wrong_type(name: str) -> str:
    """Tell what a column should have been."""
    return f"{name} is not a column of {'text' if name == 'patient_id' else 'integers or floats'}"


_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


def _is_one_of(kind: pa.DataType, tests: Sequence[Callable[[pa.DataType], bool]]) -> bool:
    return any(test(kind) for test in tests)


def _may_be(field: pa.Field) -> bool:
    kind = field.type
    if field.name != "patient_id":
        return _is_one_of(kind, _NUMBERS)
    return _is_one_of(kind.value_type if pa.types.is_dictionary(kind) else kind, _TEXTS)


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise DataError if there are any."""
    if problems:
        raise DataError(f"{path} is refused: {'; '.join(problems)}")
