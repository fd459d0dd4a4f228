"""Files of a table whose codes are texts have the outcomes of the stream, byte for byte."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartstream import load_model
from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from schemas.codec import decode_score
from schemas.errors import DataError
from schemas.read_options import ReadOptions
from schemas.records import Score
from scoring.scorer import Scorer
from tests.support.file_tables import Row, as_records, through_file, through_stream, unseen
from tests.support.other_tables import write_model_of
from tests.support.record_strategies import legal_values
from tests.support.tables import TEXT_CODES

TABLE = TEXT_CODES.table
NAMES = ("patient_id", *TABLE.names)
LABELLED = ("ward", "stays")
COMPLETE: dict[str, Any] = {"patient_id": "p", **TABLE.example, "stays": "<5", "asa": 5, "smoker": 1}
WIDELY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_of(TABLE, tmp_path_factory.mktemp("models") / "text-codes")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    return Scorer.from_directory(folder)


def written(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write cells as CSV; None is an empty one."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(NAMES)
    writer.writerows([["" if row[name] is None else row[name] for name in NAMES] for row in rows])
    path.write_bytes(text.getvalue().encode())
    return path


def columns_of(rows: Sequence[Row], texts: Callable[[list[Any]], pa.Array] = pa.array) -> pa.Table:
    """Return the rows as columns; `texts` makes those of the fields whose codes are texts."""
    columns = {name: [row[name] for row in rows] for name in NAMES}
    return pa.table(
        {
            name: texts(values)
            if name in LABELLED
            else pa.array(values, pa.string() if name == "patient_id" else pa.float64())
            for name, values in columns.items()
        }
    )


def score(
    path: Path,
    scorer: Scorer,
    options: ReadOptions = ReadOptions(),  # noqa: B008  # it is frozen
    coding: str | None = None,
) -> tuple[bytes, Tally]:
    output = path.with_name("out.ndjson")
    tally = score_file(Request(path, output, force=True, options=options, coding=coding), scorer, unseen)
    return output.read_bytes(), tally


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("ward", "intensive care", "intensive care"),
        ("ward", " Intensive-CARE ", "intensive care"),
        ("ward", "icu", "intensive care"),
        ("ward", "SURGICAL", "surgical"),
        ("stays", "none", "none"),
        ("stays", "None", "none"),
        ("stays", " <5", "<5"),
        ("stays", ">=5", ">=5"),
        ("stays", "", None),
        ("stays", "n/a", None),
        ("stays", "?", None),
        ("asa", "Moribund", 9),
        ("asa", "NA", None),
        ("asa", "None", None),
        ("smoker", "TRUE", 1),
        ("lambda", ".5", 0.5),
        ("lambda", "99", None),
    ],
)
def test_a_cell_as_people_write_it_has_the_bytes_of_the_clean_one(
    field: str, cell: str, value: object, scorer: Scorer, tmp_path: Path
) -> None:
    """Words in any case and punctuation, and cells for missing; the table's "none" is a code."""
    expected = through_stream(as_records([{**COMPLETE, field: value}]), scorer)
    assert expected[1] == []
    assert expected == through_file(written(tmp_path / "in.csv", [{**COMPLETE, field: cell}]), scorer)


def test_what_the_user_says_is_missing_is_missing(scorer: Scorer, tmp_path: Path) -> None:
    """Even if it is a code of the table."""
    path = written(tmp_path / "in.csv", [{**COMPLETE, "stays": "None"}])
    expected, _ = through_stream(as_records([{**COMPLETE, "stays": None}]), scorer)
    found, tally = score(path, scorer, ReadOptions(na_values="none,NA"))
    assert (found, tally.missing) == (expected, {"none": 1})


@pytest.mark.parametrize("cell", ["0", "1", "2", "1.0", "-9", "medicall", "5", "<", "NaN"])
@pytest.mark.parametrize("field", LABELLED)
def test_a_number_or_unknown_text_is_rejected_and_never_a_position(
    field: str, cell: str, scorer: Scorer, tmp_path: Path
) -> None:
    """With the message of validation for the text in the cell; a cell for missing is missing."""
    value = None if cell == "NaN" else cell
    expected = through_stream(as_records([COMPLETE, {**COMPLETE, field: value}]), scorer)
    assert expected == through_file(written(tmp_path / "in.csv", [COMPLETE, {**COMPLETE, field: cell}]), scorer)
    if value is not None:
        assert [issue["code"] for issue in expected[1][0]["errors"]] == ["impossible_code"]  # type: ignore[index]


@pytest.mark.parametrize("raw", [b"\xff", b"medical\xc3"])
def test_text_that_is_not_utf8_is_rejected(raw: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """Like the record with these bytes."""
    path = written(tmp_path / "in.csv", [COMPLETE, {**COMPLETE, "ward": "HERE"}])
    path.write_bytes(path.read_bytes().replace(b"HERE", raw))
    good, bad = as_records([COMPLETE, {**COMPLETE, "ward": "HERE"}])
    assert through_stream([good, bad.replace(b"HERE", raw)], scorer) == through_file(path, scorer)


def test_words_for_texts_are_read_in_any_coding(scorer: Scorer, tmp_path: Path) -> None:
    """A coding maps numbers only: words for its numbers are not known, words for texts are the table's."""
    path = written(tmp_path / "in.csv", [{**COMPLETE, "ward": "ICU", "asa": 3}, {**COMPLETE, "asa": "moribund"}])
    expected = as_records([{**COMPLETE, "ward": "intensive care", "asa": 9}])
    found, tally = score(path, scorer, coding="old-registry")
    assert (found, tally.codes) == (through_stream(expected, scorer)[0], {"wrong_type": 1})


@st.composite
def rows(draw: st.DrawFn) -> tuple[Row, dict[str, object]]:
    """Draw a record, and the cells of CSV that mean it."""
    record: dict[str, Any] = {"patient_id": draw(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1))}
    record |= {feature.name: draw(legal_values(feature)) for feature in TABLE.features}
    cells = dict(record)
    for name in draw(st.lists(st.sampled_from(LABELLED), unique=True)):
        odd = draw(st.sampled_from(["0", "1", "7", "-9", "1e3", "x", "<6", "true", "Infinity"]) | st.none())
        if odd is not None:
            record[name] = cells[name] = odd
        elif record[name] is None:
            cells[name] = draw(st.sampled_from(["", " ", "NA", "?", "null"]))
        else:
            cells[name] = getattr(record[name], draw(st.sampled_from(["upper", "title"])))()
    return record, cells


@WIDELY
@given(table=st.lists(rows(), min_size=1, max_size=40))
def test_any_cells_have_the_outcomes_of_the_stream(
    table: list[tuple[Row, dict[str, object]]], scorer: Scorer, tmp_path: Path
) -> None:
    """The scores and the errors of the records that they mean."""
    expected = through_stream(as_records([record for record, _ in table]), scorer)
    assert expected == through_file(written(tmp_path / "in.csv", [cells for _, cells in table]), scorer)


@WIDELY
@given(table=st.lists(rows(), min_size=1, max_size=40))
@pytest.mark.parametrize(
    "texts",
    [
        lambda values: pa.array(values, pa.string()),
        lambda values: pa.array(values, pa.large_string()),
        lambda values: pa.array(values, pa.string_view()),
        lambda values: pa.array(values, pa.dictionary(pa.int8(), pa.string())),
        lambda values: pa.array(values, pa.large_string()).dictionary_encode(),
    ],
    ids=["string", "large_string", "string_view", "dictionary", "large_dictionary"],
)
def test_any_parquet_texts_have_the_outcomes_of_the_stream(
    texts: Callable[[list[Any]], pa.Array], table: list[tuple[Row, object]], scorer: Scorer, tmp_path: Path
) -> None:
    """Strings of any type, plain or dictionary-encoded; null is missing."""
    records = [record for record, _ in table]
    pq.write_table(columns_of(records, texts), tmp_path / "in.parquet")
    assert through_stream(as_records(records), scorer) == through_file(tmp_path / "in.parquet", scorer)


def scores_of(records: Sequence[Row], scorer: Scorer) -> list[Score]:
    """Return the scores of records that are all valid."""
    lines, errors = through_stream(as_records(records), scorer)
    assert errors == []
    return [*map(decode_score, lines.splitlines())]


def test_a_dictionary_may_repeat_values_and_hold_null(scorer: Scorer, folder: Path) -> None:
    """As other writers make them: an index to null is null, and so is a column of nulls."""
    wards = pa.DictionaryArray.from_arrays(pa.array([0, 2]), pa.array(["surgical", "x", "surgical"]))
    stays = pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(["none", None]))
    records = [{**COMPLETE, "ward": "surgical", "stays": None}, {**COMPLETE, "ward": "surgical", "stays": "none"}]
    frame = columns_of(records).set_column(2, "ward", wards).set_column(4, "stays", stays)
    assert scores_of(records, scorer) == list(load_model(folder).score(frame))
    frame = columns_of(records).set_column(4, "stays", pa.nulls(2))
    assert scores_of([{**record, "stays": None} for record in records], scorer) == list(load_model(folder).score(frame))


@pytest.mark.parametrize("kind", ["object", "string", "category", "str", "arrow"])
def test_data_frames_have_the_scores_of_the_stream(kind: str, scorer: Scorer, folder: Path) -> None:
    """Text columns of pandas and Arrow; a missing text may be None or NaN."""
    records: list[Row] = [COMPLETE, {**COMPLETE, "ward": "medical", "stays": None}, {**COMPLETE, "stays": "none"}]
    frame: Any = columns_of(records)
    if kind != "arrow":
        frame = pd.DataFrame(records)[[*NAMES]].astype(dict.fromkeys(LABELLED, kind))
        frame["stays"] = frame["stays"].where([True, False, True], np.nan if kind == "object" else pd.NA)
        frame = frame.astype({name: float for name in TABLE.names if name not in LABELLED})
    assert scores_of(records, scorer) == list(load_model(folder).score(frame))


@pytest.mark.parametrize("suffix", ["parquet", "frame"])
def test_a_column_of_numbers_for_texts_is_refused(suffix: str, scorer: Scorer, folder: Path, tmp_path: Path) -> None:
    """As a whole: its numbers could only be taken for positions. The same holds for texts in place of numbers."""
    frame = columns_of([COMPLETE]).set_column(2, "ward", pa.array([1])).set_column(1, "age", pa.array(["63"]))
    pq.write_table(frame, tmp_path / "in.parquet")
    model = load_model(folder)
    score_it = (
        partial(model.score, frame) if suffix == "frame" else partial(through_file, tmp_path / "in.parquet", scorer)
    )
    with pytest.raises(DataError) as caught:
        score_it()
    assert "ward is not a column of text" in str(caught.value)
    assert "age is not a column of integers or floats" in str(caught.value)


def test_lines_have_the_outcomes_of_the_stream(scorer: Scorer, tmp_path: Path) -> None:
    """A number in place of a text is of the wrong type; words are not converted in NDJSON."""
    odd = [
        {"ward": 0},
        {"ward": "ICU"},
        {"stays": ""},
        {"stays": None},
        {"ward": None},
        {"lambda": "1"},
        {"ward": True},
    ]
    records = as_records([COMPLETE, *({**COMPLETE, **each} for each in odd)])
    (tmp_path / "in.ndjson").write_bytes(b"\n".join(records))
    scores, errors = through_stream(records, scorer)
    assert (scores, errors) == through_file(tmp_path / "in.ndjson", scorer)
    codes = [json.loads(json.dumps(each))["errors"][0]["code"] for each in errors]
    assert codes == ["wrong_type", "impossible_code", "impossible_code", "missing_value", "wrong_type", "wrong_type"]
