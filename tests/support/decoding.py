"""What the fast path makes of a record, to be compared with validation."""

from __future__ import annotations

import msgspec

from schemas.record_format import coding_of
from schemas.records import PatientRecord
from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable


def decoded(value: bytes, compiled: CompiledTable) -> PatientRecord | None:
    """Decode a value by the fast path, with or without a coding."""
    return compiled.records.decode(value) or compiled.records.decode_coded(value)


def fast_verdict(value: bytes, compiled: CompiledTable) -> tuple[PatientRecord, list[float | None]] | None:
    """Return what the decoder and the vectorized check accept of a value, the record and its numbers, or None."""
    record, rules, table = decoded(value, compiled), compiled.matrix, compiled.table
    if record is None:
        return None
    matrix = rules.as_matrix([record])
    rules.blank_missing(matrix)
    if isinstance(coding := coding_of(record), str):
        rules.convert(matrix, table.coding_by_name[coding])
        record = msgspec.structs.replace(record, coding=table.own_coding)
    return (record, as_json_numbers(matrix[0].tolist())) if rules.legal_rows(matrix)[0] else None


def as_json_numbers(row: list[float]) -> list[float | None]:
    return [None if number != number else number for number in row]  # noqa: PLR0124  # NaN alone differs from itself


def numbers_of(record: PatientRecord, table: FeatureTable) -> list[float | None]:
    """Return the numbers of a validated record, with the position of a text among its field's codes."""
    return [
        feature.labels.index(value) if isinstance(value := getattr(record, feature.name), str) else value
        for feature in table.features
    ]
