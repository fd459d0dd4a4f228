"""In each file format a record has the same outcome as in the stream, byte for byte."""

from __future__ import annotations

import codecs
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected
from tests.support.file_tables import (
    COMPLETE,
    NAMES,
    REFUSED,
    Row,
    as_records,
    cell_record,
    through_file,
    through_stream,
    write_csv,
    write_parquet,
)
from tests.support.record_strategies import ODD_VALUES, legal_values, values
from tests.support.uci import FEATURES

BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
WIDELY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=130).filter(bool)
ODD_NUMBERS = (
    st.floats() | st.integers(-20, 2000).map(float) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324])
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Draw a row of which a few numbers are odd."""
    row: dict[str, Any] = {"patient_id": draw(IDS)}
    row |= {feature.name: draw(legal_values(feature)) for feature in FEATURES}
    for name in draw(st.lists(st.sampled_from(NAMES[1:]), max_size=2)):
        row[name] = draw(ODD_NUMBERS)
    return {name: value if name == "patient_id" or value is None else float(value) for name, value in row.items()}


@st.composite
def cells(draw: st.DrawFn) -> dict[str, str]:
    """Draw a row of CSV of which a few cells are odd text."""
    row = draw(rows())
    found = {name: "" if value is None else str(value) for name, value in row.items()}
    for name in draw(st.lists(st.sampled_from(NAMES[1:]), max_size=2)):
        found[name] = draw(st.sampled_from(ODD_VALUES) | st.text(st.characters(codec="ascii"), max_size=6))
    return {name: cell.replace("\0", "") for name, cell in found.items()}


def representable(records: list[bytes]) -> list[dict[str, Any]]:
    """Return the records that a row can represent: exactly these 14 fields, each once, as text or number."""
    found = []
    for record in records:
        try:
            members = json.loads(record, object_pairs_hook=list, parse_int=float)
        except ValueError:
            continue
        if not isinstance(members, list) or not all(isinstance(each, tuple) for each in members):
            continue
        fields = dict(members)
        numbers = [value for name, value in fields.items() if name != "patient_id"]
        plain = all(value is None or isinstance(value, float) for value in numbers)
        if sorted(fields) == sorted(NAMES) and len(members) == len(NAMES) and plain:
            found.append(fields)
    return [fields for fields in found if fields["patient_id"] is None or _is_encodable(fields["patient_id"])]


def _is_encodable(text: object) -> bool:
    return isinstance(text, str) and not any("\ud800" <= character <= "\udfff" for character in text)


_GOOD = [value for _, value in accepted()]
EXAMPLES = _GOOD + [each for _, value, _ in rejected() for each in [value, *[dict(accepted())["complete"].strip()] * 5]]
"""Among so many good ones that the few in another coding do not condemn them all."""


@pytest.mark.parametrize("model", ["scorer", "pattern_scorer", "forest_scorer"])
def test_examples_as_lines_have_the_outcomes_of_the_stream(
    model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each example that fits on a line has the score or the faults of the stream."""
    scorer: Scorer = request.getfixturevalue(model)
    lines = [value for value in EXAMPLES if b"\n" not in value and value.strip()]
    source = tmp_path / "in.ndjson"
    source.write_bytes(b"\n".join(lines))
    assert through_stream(lines, scorer) == through_file(source, scorer) != REFUSED


@pytest.mark.parametrize("model", ["scorer", "pattern_scorer", "forest_scorer"])
@pytest.mark.parametrize(("suffix", "write"), [("csv", write_csv), ("parquet", write_parquet)])
def test_examples_as_columns_have_the_outcomes_of_the_stream(
    model: str, suffix: str, write: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each example that a row can represent has the score or the faults of the stream."""
    scorer: Scorer = request.getfixturevalue(model)
    found = [row for row in representable(EXAMPLES) if row["patient_id"] != ""]
    assert len(found) > 40
    # NaN is a number that is not finite in Parquet, and "not measured" in CSV.
    unmeasured = dict.fromkeys(NAMES) if suffix == "csv" else {}
    records = [{n: unmeasured.get(n, row[n]) if row[n] != row[n] else row[n] for n in NAMES} for row in found]
    expected = through_stream(as_records(records), scorer)
    assert expected == through_file(write(tmp_path / f"in.{suffix}", found), scorer) != REFUSED


@WIDELY
@given(lines=st.lists(values(), min_size=1, max_size=80))
def test_any_lines_have_the_outcomes_of_the_stream(lines: list[bytes], scorer: Scorer, tmp_path: Path) -> None:
    """Valid records, almost valid ones and noise, one per line."""
    kept = [line for line in lines if b"\n" not in line and line.strip()]
    # What begins as one JSON document over several lines is refused as a whole, and a file may have a byte order mark.
    assume(
        kept
        and not kept[0].startswith(BYTE_ORDER_MARKS)
        and not kept[0].strip().startswith(b"[")
        and kept[0].strip() != b"{"
    )
    source = tmp_path / "in.ndjson"
    source.write_bytes(b"\n".join(kept))
    assert through_stream(kept, scorer) == through_file(source, scorer)


@WIDELY
@given(table=st.lists(rows(), min_size=1, max_size=80))
def test_any_parquet_numbers_have_the_outcomes_of_the_stream(table: list[Row], scorer: Scorer, tmp_path: Path) -> None:
    """Any float64 and null are equivalent to the JSON number and null."""
    expected = through_stream(as_records(table), scorer)
    assert expected == through_file(write_parquet(tmp_path / "in.parquet", table), scorer)


@WIDELY
@given(table=st.lists(cells(), min_size=1, max_size=80))
def test_any_csv_cells_have_the_outcomes_of_the_stream(
    table: list[dict[str, str]], scorer: Scorer, tmp_path: Path
) -> None:
    """A cell is a JSON number if it is one, else a string; an empty cell is null."""
    expected = through_stream([cell_record(row) for row in table], scorer)
    assert expected == through_file(write_csv(tmp_path / "in.csv", table), scorer)


@WIDELY
@given(table=st.lists(rows(), min_size=1, max_size=20), order=st.permutations(NAMES))
def test_columns_may_be_in_any_order(table: list[Row], order: list[str], scorer: Scorer, tmp_path: Path) -> None:
    """The header identifies the columns."""
    expected = through_stream(as_records(table), scorer)
    assert expected == through_file(write_parquet(tmp_path / "in.parquet", table, order), scorer)
    clean = [
        row for row in table if all(name == "patient_id" or v is None or math.isfinite(v) for name, v in row.items())
    ]
    if clean:
        expected = through_stream(as_records(clean), scorer)
        assert expected == through_file(write_csv(tmp_path / "in.csv", clean, order), scorer)


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint16(), pa.float16(), pa.float32()])
def test_numeric_columns_may_have_any_width(kind: pa.DataType, scorer: Scorer, tmp_path: Path) -> None:
    """Integers and floats of any width have their value, valid or not."""
    table = [COMPLETE, {**COMPLETE, "chol": None, "cp": 5}]
    arrays = {n: pa.array([r[n] for r in table], pa.string() if n == "patient_id" else kind) for n in NAMES}
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table(arrays), source)
    assert through_stream(as_records(table), scorer) == through_file(source, scorer)


def test_a_null_column_is_missing_in_every_row(scorer: Scorer, tmp_path: Path) -> None:
    """A Parquet column of type null is equivalent to null."""
    table = [COMPLETE]
    arrays = {n: pa.array([r[n] for r in table]) for n in NAMES}
    assert pa.types.is_null(arrays["ca"].type)
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table(arrays), source)
    assert through_stream(as_records(table), scorer) == through_file(source, scorer)


@pytest.mark.parametrize("raw", [b"\xff", b"\xed\xa0\x80", b"ok\xc3"])
def test_an_id_that_is_not_utf8_is_rejected(raw: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """Its row has the fault of a record with these bytes; the other rows are scored."""
    good, bad = as_records([COMPLETE, COMPLETE])
    bad = bad.replace(b'"p"', b'"' + raw + b'"')
    source = write_csv(tmp_path / "in.csv", [COMPLETE, {**COMPLETE, "patient_id": "HERE"}])
    source.write_bytes(source.read_bytes().replace(b"HERE", raw))
    assert through_stream([good, bad], scorer) == through_file(source, scorer)
    ids = pa.array([b"p", raw]).cast(pa.string(), safe=False)
    arrays = {n: ids if n == "patient_id" else pa.array([COMPLETE[n]] * 2, pa.float64()) for n in NAMES}
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table(arrays), source)
    assert through_stream([good, bad], scorer) == through_file(source, scorer)


@pytest.mark.parametrize("length", [1, 128, 129, 70_000])
def test_ids_have_1_to_128_characters(length: int, scorer: Scorer, tmp_path: Path) -> None:
    """Characters are counted, not bytes."""
    table = [{**COMPLETE, "patient_id": "é" * length}]
    expected = through_stream(as_records(table), scorer)
    assert expected == through_file(write_csv(tmp_path / "in.csv", table), scorer)
    assert expected == through_file(write_parquet(tmp_path / "in.parquet", table), scorer)


def test_an_id_column_may_have_any_string_type(scorer: Scorer, tmp_path: Path) -> None:
    """Dictionary-encoded, large and view strings are accepted."""
    table = [COMPLETE, {**COMPLETE, "patient_id": "q"}]
    expected = through_stream(as_records(table), scorer)
    for kind in (pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string_view()):
        arrays = {n: pa.array([r[n] for r in table], kind if n == "patient_id" else pa.float64()) for n in NAMES}
        source = tmp_path / "in.parquet"
        pq.write_table(pa.table(arrays), source)
        assert expected == through_file(source, scorer)
