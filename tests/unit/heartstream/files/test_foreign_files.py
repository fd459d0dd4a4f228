"""CSV files as people write them are detected and read."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from heartstream.files.batching import CSV_BATCH_BYTES
from heartstream.files.input_file import InputOptions, RawFile
from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from heartstream.monitoring.compare.comparison import compare_file
from heartstream.monitoring.drift.counting import count_file
from schemas.read_options import ReadOptions
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.file_tables import COMPLETE, as_records, unseen
from tests.support.uci import FEATURE_NAMES
from tests.unit.heartstream.files.foreign import (
    DEFAULT_OPTIONS,
    NAMES,
    PATIENTS,
    Form,
    forms,
    patients,
    refusal_of,
    score,
)
from training.data.dataset import SITES, published_file, snapshot_rows

MANY_EXAMPLES = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
ACCENTED = "é-ü-{}"


def notes_of(path: Path, scorer: Scorer, options: ReadOptions = DEFAULT_OPTIONS) -> list[str]:
    """Return the notes about a file, and check that they come before the first row."""
    printed: list[str] = []

    def add(file: Path, notes: Sequence[str]) -> None:
        assert file == path
        printed.append("; ".join(notes))

    def watch(_done: int, _total: int | None, _tally: Tally) -> None:
        assert printed

    score_file(Request(path, path.with_name("scores.ndjson"), force=True, options=options), scorer, watch, add)
    return printed


@MANY_EXAMPLES
@given(form=forms(), first=st.integers(0, len(PATIENTS)), count=st.integers(20, 60))
@example(form=Form(delimiter=";", decimal=",", encoding="utf-16", missing="NA", words=True), first=250, count=60)
def test_a_foreign_file_has_the_scores_of_the_clean_one(
    form: Form, first: int, count: int, scorer: Scorer, tmp_path: Path
) -> None:
    """Byte for byte, however it is written; options name what cannot be detected."""
    rows = patients(first, count, ACCENTED.format)
    clean, foreign = tmp_path / "clean.csv", tmp_path / "foreign.csv"
    clean.write_bytes(Form().write(rows))
    foreign.write_bytes(form.write(rows))
    expected, counts = score(clean, scorer)
    found, others = score(foreign, scorer, form.options)
    assert expected.count(b"\n") == count
    assert expected == found
    assert (counts.rejected, others.rejected, others.blank_rows) == (0, 0, form.empty_rows)


def test_a_clean_file_prints_no_notes(scorer: Scorer, tmp_path: Path) -> None:
    """Without anything to detect nothing is printed."""
    path = tmp_path / "in.csv"
    path.write_bytes(Form().write(patients(0, 50)))
    assert notes_of(path, scorer) == [""]


def test_detected_conventions_are_printed_once(scorer: Scorer, tmp_path: Path) -> None:
    """All of them, before the first row, with column names and no patient's values."""
    path = tmp_path / "in.csv"
    form = Form(";", ",", "utf-16", alias=1, missing="NA", words=True, extra=("notes",), id_column="id")
    path.write_bytes(form.write(patients(250, 60)))
    (note,) = notes_of(path, scorer, form.options)
    assert note.startswith("encoded in utf-16; separated by ';'; with decimal commas; patient_id is column \"id\"")
    assert 'chol is column "cholesterol"' in note
    assert note.endswith(
        'ignored: "notes"; not measured: NA; words for codes in sex, cp, fbs, restecg, exang, slope, thal'
    )


@pytest.mark.parametrize("site", SITES)
def test_ucis_published_files_are_read(site: str, scorer: Scorer, tmp_path: Path) -> None:
    """No header, `?`, outcome in the last column: the scores equal those of the clean file with row numbers as ids."""
    path = tmp_path / "processed.data"
    path.write_bytes(published_file(site))
    rows = [row for row in snapshot_rows() if row[0] == site]
    clean = tmp_path / "clean.csv"
    cells = [dict(zip(NAMES, (str(number), *row[1:-1]), strict=True)) for number, row in enumerate(rows, 1)]
    clean.write_bytes(Form().write(cells))
    assert score(clean, scorer)[0] == score(path, scorer)[0]
    (note,) = notes_of(path, scorer)
    assert "with the columns of UCI Heart Disease's published files; the last one, num, is not read" in note
    assert "patient_id is the row number" in note


def test_row_ids_number_the_rows(scorer: Scorer, tmp_path: Path) -> None:
    """With --row-ids the ids are row numbers across batches, in CSV and Parquet."""
    count = 20_000
    rows = patients(0, count, str)
    (clean := tmp_path / "clean.csv").write_bytes(Form().write(rows))
    lines = Form().write(rows).splitlines(keepends=True)
    (path := tmp_path / "in.csv").write_bytes(b"".join(line.partition(b",")[2] for line in lines))
    assert path.stat().st_size > CSV_BATCH_BYTES
    assert "use --id-column NAME for another column, or --row-ids for row numbers" in refusal_of(path, scorer)
    expected, tally = score(clean, scorer)
    assert (expected, count) == (score(path, scorer, ReadOptions(row_ids=True))[0], tally.scored)
    columns = {name: pa.array([float(row[name]) if row[name] else None for row in rows]) for name in FEATURE_NAMES}
    pq.write_table(pa.table({**columns, "Nr": pa.array(range(1, count + 1))}), tmp_path / "in.parquet")
    for options in (ReadOptions(row_ids=True, ignore_columns="nr"), ReadOptions(id_column="Nr")):
        assert expected == score(tmp_path / "in.parquet", scorer, options)[0]


def test_the_copy_with_codes_in_words_is_read(scorer: Scorer, tmp_path: Path) -> None:
    """920 patients, with `thalch` for thalach, have the scores of UCI's codes."""
    words = {
        "sex": {"0": "Female", "1": "Male"},
        "cp": {"1": "typical angina", "2": "atypical angina", "3": "non-anginal", "4": "asymptomatic"},
        "fbs": {"0": "FALSE", "1": "TRUE"},
        "restecg": {"0": "normal", "1": "st-t abnormality", "2": "lv hypertrophy"},
        "exang": {"0": "FALSE", "1": "TRUE"},
        "slope": {"1": "upsloping", "2": "flat", "3": "downsloping"},
        "thal": {"3": "normal", "6": "fixed defect", "7": "reversable defect"},
    }
    rows = patients(0, len(PATIENTS), str)
    (clean := tmp_path / "clean.csv").write_bytes(Form().write(rows))
    worded = [{name: words.get(name, {}).get(cell, cell) for name, cell in row.items()} for row in rows]
    header, _, body = Form().write(worded).partition(b"\n")
    (path := tmp_path / "heart_disease_uci.csv").write_bytes(
        header.replace(b"patient_id", b"id").replace(b"thalach", b"thalch") + b"\n" + body
    )
    assert score(clean, scorer)[0] == score(path, scorer, ReadOptions(id_column="id"))[0]


def test_words_are_not_read_in_another_coding(scorer: Scorer, tmp_path: Path) -> None:
    """Words mean UCI's codes; in another coding they would be converted a second time."""
    path = tmp_path / "in.csv"
    path.write_bytes(Form(words=True).write(patients(0, 30)))
    assert score(path, scorer, coding="kaggle-303")[1].codes == {"wrong_type": 30}


def test_the_other_decimal_mark_is_not_a_number(scorer: Scorer, tmp_path: Path) -> None:
    """In a file with decimal commas 1.234 may be a thousand: such rows are rejected."""
    rows = patients(0, 1_500)
    late = [{**row, "oldpeak": "1,5" if number == 1_400 else row["oldpeak"]} for number, row in enumerate(rows)]
    path = tmp_path / "in.csv"
    path.write_bytes(Form(";").write(late))
    assert score(path, scorer)[1].codes == {"wrong_type": 1}
    path.write_bytes(Form(";").write([{**row, "oldpeak": "1.234"} for row in rows[:5]]))
    assert score(path, scorer, ReadOptions(decimal=","))[1].codes == {"wrong_type": 5}


def test_missing_markers_are_counted(scorer: Scorer, tmp_path: Path) -> None:
    """By their text over the whole file; with --na-values the default markers are text."""
    rows = [{**row, "ca": "NA" if place % 2 else "?"} for place, row in enumerate(patients(0, 100))]
    path = tmp_path / "in.csv"
    path.write_bytes(Form().write(rows))
    assert score(path, scorer)[1].missing == {"NA": 50, "?": 50}
    found = score(path, scorer, ReadOptions(na_values="NA,x"))[1]
    assert (found.missing, found.codes) == ({"NA": 50}, {"wrong_type": 50})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("note", ['5" tall', '"a ""quoted"" word"', '"two\nlines"', '"two\r\nlines, and more"', ""])
def test_cells_with_quotes_and_line_ends_stay_in_one_batch(note: str, end: str, scorer: Scorer, tmp_path: Path) -> None:
    """Whatever a row contains, each patient has one score, wherever batches end."""
    rows = patients(0, 12_000)
    lines = Form(line_end=end).write(rows).decode().split(end)[:-1]
    text = end.join([f"{lines[0]},note", *(f"{line},{note}" for line in lines[1:])])
    (clean := tmp_path / "clean.csv").write_bytes(Form().write(rows))
    (path := tmp_path / "in.csv").write_bytes(text.encode())
    assert score(clean, scorer)[0] == score(path, scorer, ReadOptions(ignore_columns="note"))[0]


def test_files_are_read_by_our_thread_only(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's read-ahead would call Python during its shutdown and abort the process."""
    path, readers, read = tmp_path / "in.csv", set[int](), RawFile.read

    def noted(file: RawFile, size: int = -1, /) -> bytes:
        readers.add(threading.get_ident())
        return read(file, size)

    monkeypatch.setattr(RawFile, "read", noted)
    path.write_bytes(Form().write(patients(0, 15_000)))
    score(path, scorer)
    assert readers == {threading.get_ident()}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lines_with_a_byte_order_mark_lose_no_record(encoding: str, scorer: Scorer, tmp_path: Path) -> None:
    """The first record is scored like the others."""
    records = as_records([COMPLETE, {**COMPLETE, "patient_id": "é"}])
    (clean := tmp_path / "clean.ndjson").write_bytes(b"\n".join(records))
    (path := tmp_path / "in.ndjson").write_bytes(b"\n".join(records).decode().encode(encoding))
    assert score(clean, scorer)[0] == score(path, scorer)[0]


def test_an_option_means_the_same_in_every_command(model_dir: Path, tmp_path: Path) -> None:
    """`drift` and `compare` read a foreign file like the clean one."""
    rows, model = patients(0, 60), load(model_dir)
    form = Form(";", ",", "utf-16", missing="unknown", words=True, extra=("notes",), id_column="id")
    (clean := tmp_path / "clean.csv").write_bytes(Form().write(rows))
    (foreign := tmp_path / "foreign.csv").write_bytes(form.write(rows))
    reading = InputOptions(form.options)
    found = count_file(model, foreign, None, unseen, reading)
    assert (60, count_file(model, clean, None, unseen).drift) == (found.tally.scored, found.drift)
    expected = compare_file(model, model, clean, None, unseen)
    assert expected == compare_file(model, model, foreign, None, unseen, reading)


def test_a_named_pipe_is_read(scorer: Scorer, tmp_path: Path) -> None:
    """The shell's <(...) is one, and its size is not checked."""
    rows = Form().write(patients(0, 50))
    (clean := tmp_path / "clean.csv").write_bytes(rows)
    os.mkfifo(pipe := tmp_path / "pipe.csv")
    writer = threading.Thread(target=pipe.write_bytes, args=(rows,))
    writer.start()
    assert score(pipe, scorer)[0] == score(clean, scorer)[0]
    writer.join()
