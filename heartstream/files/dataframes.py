"""Data frames as Arrow tables with the columns of a patient record; needs pyarrow."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from heartstream.files.batching import BATCH_ROWS
from heartstream.files.parquet_records import name_problems, plain, type_problems, wrong_type
from schemas.column_mapping import COLUMN_NAMES
from schemas.errors import DataError

_UNCONVERTIBLE: Final = (pa.ArrowException, OverflowError, TypeError, ValueError)
"""What pyarrow raises for columns that it cannot convert. The messages hold cells."""


class ArrowTable(Protocol):
    """A table that exports Arrow: of pyarrow, pandas or Polars, or a DuckDB result."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the table through Arrow's PyCapsule interface."""
        ...


def batches_of(table: ArrowTable) -> Iterator[pa.RecordBatch]:
    """Yield a table as batches for `columns_of`. Raises DataError with every problem of its columns."""
    pandas = sys.modules.get("pandas")
    is_pandas = pandas is not None and isinstance(table, pandas.DataFrame)
    found = _of_pandas(table) if is_pandas else _of_arrow(table)
    return map(plain, found.to_batches(BATCH_ROWS))


def _of_arrow(table: ArrowTable) -> pa.Table:
    try:
        found = pa.table(table)
    except _UNCONVERTIBLE:
        raise DataError("the table is refused: it is not one of named columns") from None
    _refuse(name_problems(found.column_names))
    found = found.select(COLUMN_NAMES)
    _refuse(type_problems(list(found.schema)))
    return found


def _of_pandas(frame: Any) -> pa.Table:
    """Convert the columns one by one, without the index; what pandas treats as missing, including NaN, is null."""
    _refuse(name_problems([*frame.columns]))
    columns, problems = {}, []
    for name in COLUMN_NAMES:
        try:
            columns[name] = pa.array(frame[name], from_pandas=True)
        except _UNCONVERTIBLE:
            problems.append(wrong_type(name))
        else:
            problems += type_problems([pa.field(name, columns[name].type)])
    _refuse(problems)
    return pa.table(columns)


def _refuse(problems: Sequence[str]) -> None:
    """Raise DataError if there are problems."""
    if problems:
        columns = ", ".join(COLUMN_NAMES)
        raise DataError(f"the table is refused: {'; '.join(problems)}. Its columns must be {columns}")
