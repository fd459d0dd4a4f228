"""Arrow columns as input of the core: ids, numbers, and, for doubtful rows, the equivalent JSON record.

A CSV cell is text, as `schemas.csv_cells` reads it. It goes into the record unchanged if it is a JSON number, NaN,
Infinity or -Infinity; otherwise as a JSON string, which validation rejects in place of a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from schemas.csv_cells import NUMBER
from schemas.records import PATIENT_ID_MAX_CHARS
from schemas.tables.feature_table import PATIENT_ID, Feature, FeatureTable
from scoring.batches import ColumnBatch
from scoring.features import Mask, Matrix
from scoring.text_column import TextColumn

Places = npt.NDArray[np.intp]

_NAN: Final = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(np.array([np.nan]))])[0]
_NOT_FINITE: Final = frozenset({b"NaN", b"Infinity", b"-Infinity"})


def columns_of(batch: pa.RecordBatch, table: FeatureTable, coding: str | None = None) -> ColumnBatch:
    """Convert a batch with the id and the fields of a feature table, in this order, for the core.

    The id is text; every other column holds numbers, only nulls, a dictionary of CSV cells, or the texts of a field
    whose codes are texts. `coding` applies to all rows.
    """
    patient_ids, doubtful = _ids(batch.column(0))
    matrix = np.empty((batch.num_rows, len(table.features)))
    for place, (column, feature) in enumerate(zip(batch.columns[1:], table.features, strict=True)):
        matrix[:, place], odd = _values(column, feature)
        if odd is not None:
            doubtful |= odd
    return ColumnBatch(patient_ids, matrix, doubtful, lambda row: _record(batch, row, table), coding)


def write_to_memory(batch: pa.RecordBatch, memory: memoryview) -> int | None:
    """Write a batch into memory; returns its size in bytes, None if it is too large."""
    size = pa.MockOutputStream()
    _write(batch, size)
    if size.size() > len(memory):
        return None
    with pa.FixedSizeBufferWriter(pa.py_buffer(memory)) as sink:
        _write(batch, sink)
    return int(size.size())


def _write(batch: pa.RecordBatch, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)


def read_from_memory(memory: memoryview) -> pa.RecordBatch:
    """Return the batch that `write_to_memory` wrote, without copying it."""
    return pa.ipc.open_stream(pa.py_buffer(memory)).read_next_batch()


def _ids(column: pa.StringArray) -> tuple[Sequence[str], Mask]:
    """Return the ids, and which of them are invalid; ids that are not valid UTF-8 are empty."""
    if column.null_count or not len(column):
        return _other_ids(column)
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset).astype(np.int64)
    first, last = int(ends[0]), int(ends[-1])
    text = b"" if data is None else bytes(memoryview(data)[first:last])
    if text.isascii():
        lengths = np.diff(ends)
        doubtful = (lengths < 1) | (lengths > PATIENT_ID_MAX_CHARS)
        return TextColumn(text, ends[:-1] - first, ends[1:] - first, column.to_pylist), doubtful
    return _other_ids(column)


def _other_ids(column: pa.StringArray) -> tuple[list[str], Mask]:
    lengths = _floats(pc.utf8_length(column))
    doubtful = ~((lengths >= 1) & (lengths <= PATIENT_ID_MAX_CHARS))
    try:
        return column.to_pylist(), doubtful
    except UnicodeDecodeError:
        raw: list[bytes | None] = column.cast(pa.binary()).to_pylist()
    ids = [_text(each) for each in raw]
    doubtful |= np.array([each is None for each in ids])
    return [each or "" for each in ids], doubtful


def _text(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        return None


def _numbers(column: pa.Array) -> tuple[Matrix, Mask | None]:
    """Return numbers as float64, null as NaN, and which are NaN in the file, as opposed to null."""
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan), None
    numbers = _floats(column)
    absent = np.isnan(numbers)
    if int(absent.sum()) == column.null_count:
        return numbers, None
    odd: Mask = absent & (_floats(column.is_valid().cast(pa.uint8())) > 0)
    return numbers, odd


def _floats(column: pa.Array) -> Matrix:
    """Return numbers as float64, null as NaN.

    `to_numpy`, and anything that converts a Python value to a scalar or array, would import pandas if it is installed.
    """
    return np.asarray(np.from_dlpack(pc.fill_null(column.cast(pa.float64(), safe=False), _NAN)), np.float64)


def _values(column: pa.Array, feature: Feature) -> tuple[Matrix, Mask | None]:
    """Return the numbers of a field, null as NaN, and which values are something else."""
    if feature.labels and not pa.types.is_null(column.type):
        codes = {label.encode(): float(code) for code, label in enumerate(feature.labels)}
        texts = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
        return _cells(texts, lambda cell: codes.get(cell, np.nan))
    return _cells(column, _number) if pa.types.is_dictionary(column.type) else _numbers(column)


def _cells(column: pa.DictionaryArray, number: Callable[[bytes], float]) -> tuple[Matrix, Mask | None]:
    """Return the numbers in cells, and which cells hold something else. Each distinct cell is parsed once."""
    distinct: Sequence[bytes] = column.dictionary.cast(pa.binary()).to_pylist()
    numbers = np.array([*map(number, distinct), np.nan])
    places = indices_of(column)
    odd = np.isnan(numbers)
    odd[-1] = False
    return numbers.take(places), odd.take(places) if odd.any() else None


def indices_of(column: pa.DictionaryArray) -> Places:
    """Return the dictionary index of each value; null gets the index past the end."""
    found: Places = np.nan_to_num(_floats(column.indices), nan=len(column.dictionary)).astype(np.intp)
    return found


def strings(values: Sequence[bytes]) -> pa.StringArray:
    """Return texts as a column, without importing pandas: see `_floats`."""
    ends = np.cumsum([0, *map(len, values)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def dictionary(values: Sequence[bytes], places: Places) -> pa.DictionaryArray:
    """Return a dictionary column with these indices; -1 is null."""
    present = places >= 0
    buffers = [
        pa.py_buffer(np.packbits(present, bitorder="little")),
        pa.py_buffer(np.where(present, places, 0).astype(np.int32)),
    ]
    indices = pa.Array.from_buffers(pa.int32(), len(places), buffers)
    return pa.DictionaryArray.from_arrays(indices, strings(values))


def numbers_as_text(first: int, count: int) -> pa.StringArray:
    """Return `count` consecutive integers from `first`, as text."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), count, [None, pa.py_buffer(numbers)]).cast(pa.string())


def _number(cell: bytes) -> float:
    """Return the number, NaN if the cell is not a JSON number."""
    return float(cell) if NUMBER.fullmatch(cell) else np.nan


def _record(batch: pa.RecordBatch, row: int, table: FeatureTable) -> bytes:
    """Return the record of one row as JSON."""
    ids, *columns = batch.columns
    members = (
        b'"%s":%s' % (feature.name.encode(), _label(column[row]) if feature.labels else _value(column[row]))
        for feature, column in zip(table.features, columns, strict=True)
    )
    return b'{"%s":%s,%s}' % (PATIENT_ID.encode(), _text_value(ids[row]), b",".join(members))


def _text_value(scalar: Any) -> bytes:
    return _string(scalar.cast(pa.binary()).as_py()) if scalar.is_valid else b"null"


def _label(scalar: Any) -> bytes:
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.value
    return _text_value(scalar.cast(pa.string())) if scalar.is_valid else b"null"


def _value(scalar: Any) -> bytes:
    if not scalar.is_valid:
        return b"null"
    if isinstance(scalar, pa.DictionaryScalar):
        if not scalar.value.is_valid:
            return b"null"
        cell: bytes = scalar.value.cast(pa.binary()).as_py()
        return cell if NUMBER.fullmatch(cell) or cell in _NOT_FINITE else _string(cell)
    number = scalar.as_py()
    if isinstance(number, int):
        return b"%d" % number
    return repr(float(number)).replace("nan", "NaN").replace("inf", "Infinity").encode()


def _string(raw: bytes) -> bytes:
    """Return text as a JSON string; invalid UTF-8 is kept, so that validation reports it."""
    text = _text(raw)
    return b'"%s"' % raw if text is None else msgspec.json.encode(text)
