"""Data frames as Arrow tables with the columns of a patient record; needs pyarrow."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import pyarrow as pa

from heartstream.files.batching import BATCH_ROWS
from heartstream.files.parquet_records import name_problems, plain, type_problems, wrong_type
from schemas.errors import DataError
from schemas.tables.feature_table import PATIENT_ID, FeatureTable

_UNCONVERTIBLE: Final = (pa.ArrowException, OverflowError, TypeError, ValueError)
"""What pyarrow raises for columns that it cannot convert. The messages hold cells."""


class ArrowTable(Protocol):
    """A table that exports Arrow: of pyarrow, pandas or Polars, or a DuckDB result."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the table through Arrow's PyCapsule interface."""
        ...


def batches_of(frame: ArrowTable, table: FeatureTable) -> Iterator[pa.RecordBatch]:
    """Yield a data frame as batches for `columns_of`. Raises DataError with every problem of its columns."""
    pandas = sys.modules.get("pandas")
    is_pandas = pandas is not None and isinstance(frame, pandas.DataFrame)
    found = _of_pandas(frame, table) if is_pandas else _of_arrow(frame, table)
    return map(plain, found.to_batches(BATCH_ROWS))


def _of_arrow(frame: ArrowTable, table: FeatureTable) -> pa.Table:
    try:
        found = pa.table(frame)
    except _UNCONVERTIBLE:
        raise DataError("the table is refused: it is not one of named columns") from None
    _refuse(name_problems(found.column_names, table), table)
    found = found.select((PATIENT_ID, *table.names))
    _refuse(type_problems(list(found.schema), table), table)
    return found


def _of_pandas(frame: Any, table: FeatureTable) -> pa.Table:
    """Convert the columns one by one, without the index; what pandas treats as missing, including NaN, is null."""
    _refuse(name_problems([*frame.columns], table), table)
    columns, problems = {}, []
    for name in (PATIENT_ID, *table.names):
        try:
            columns[name] = pa.array(frame[name], from_pandas=True)
        except _UNCONVERTIBLE:
            problems.append(wrong_type(name, table))
        else:
            problems += type_problems([pa.field(name, columns[name].type)], table)
    _refuse(problems, table)
    return pa.table(columns)


def _refuse(problems: Sequence[str], table: FeatureTable) -> None:
    """Raise DataError if there are problems."""
    if problems:
        columns = ", ".join((PATIENT_ID, *table.names))
        raise DataError(f"the table is refused: {'; '.join(problems)}. Its columns must be {columns}")
