"""What holds for the built-in feature table holds for any valid one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.records import PatientRecord
from schemas.tables.checks import table_problems
from schemas.tables.feature_table import FeatureTable
from schemas.tables.toml_file import read_table
from scoring.compiled_table import CompiledTable
from tests.support.decoding import fast_verdict, numbers_of
from tests.support.record_strategies import legal_records, values
from tests.support.table_strategies import tables, written_toml

RANDOM_TABLES = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@RANDOM_TABLES
@given(tables())
def test_any_valid_table_round_trips(document: dict[str, Any]) -> None:
    """TOML to table to canonical JSON to the same table."""
    table = read_table(written_toml(document).encode(), "t")
    again = FeatureTable.from_json(table.as_json())
    assert (again, again.digest, table_problems(again)) == (table, table.digest, [])


@RANDOM_TABLES
@given(tables(), st.data())
@pytest.mark.parametrize("strategy", [values, legal_records])
def test_records_of_any_table_are_decoded_as_validated(
    strategy: Callable[[FeatureTable], st.SearchStrategy[bytes]], document: dict[str, Any], data: st.DataObject
) -> None:
    """The fast path accepts nothing that `validate` rejects, and returns the same numbers."""
    compiled = CompiledTable(read_table(written_toml(document).encode(), "t"))
    value = data.draw(strategy(compiled.table))
    expected = compiled.records.validate(value)
    fast = fast_verdict(value, compiled)
    if strategy is legal_records:
        assert isinstance(expected, PatientRecord)
    if fast is not None:
        assert isinstance(expected, PatientRecord)
        assert (expected.patient_id, numbers_of(expected, compiled.table)) == (fast[0].patient_id, fast[1])
