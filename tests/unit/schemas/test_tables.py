"""The tables of other patients than the built-in one's are read without problems, and their records are records."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from scoring.compiled_table import CompiledTable
from tests.support.other_tables import NAMES, as_lines, records, table

COHORTS = Path(__file__).resolve().parents[4] / "shared" / "data" / "cohorts"
each_table = pytest.mark.parametrize("name", NAMES)


@each_table
def test_every_valid_record_is_decoded(name: str) -> None:
    """Codes that are texts are texts in records; the fast decoder and the validator agree."""
    compiled = CompiledTable(table(name))
    for line in as_lines([dict(compiled.table.example), *records(compiled, 200)]):
        decoded = compiled.records.decode(line)
        assert decoded is not None
        assert decoded == compiled.records.validate(line)


@pytest.mark.parametrize("name", [name for name in NAMES if (COHORTS / f"{name}.csv").is_file()])
@pytest.mark.skipif(not COHORTS.is_dir(), reason="the cohorts stand beside the repository only")
def test_every_patient_of_the_cohort_is_valid(name: str) -> None:
    """Columns, codes and limits are those of the published file, and so are the outcome and its values."""
    own = table(name)
    decode = CompiledTable(own).records.decode
    with (COHORTS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["patient_id", *own.names, own.outcome.column]
    for row in rows:
        cells = {each.name: row[each.name] if each.labels else float(row[each.name] or "nan") for each in own.features}
        # NaN is null in JSON.
        assert decode(msgspec.json.encode({"patient_id": row["patient_id"], **cells})) is not None
    assert {int(row[own.outcome.column]) for row in rows} == set(own.outcome.classes)
