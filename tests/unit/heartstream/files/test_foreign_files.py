"""CSV files as people write them are detected and read, or refused with the option that reads them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
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
from schemas.errors import DataError, DependencyError, SettingsError
from schemas.features import FEATURE_NAMES
from schemas.read_options import ReadOptions
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.file_tables import COMPLETE, as_records, unseen
from tests.unit.heartstream.files.foreign import NAMES, PATIENTS, Cells, Form, forms
from training.data.dataset import SITES, published_file, snapshot_rows

WIDELY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
PLAIN = ReadOptions()
ACCENTED = "é-ü-{}"


def scored(path: Path, scorer: Scorer, options: ReadOptions = PLAIN, coding: str | None = None) -> tuple[bytes, Tally]:
    """Return the scores of a file, all of whose rows are valid, and the counts."""
    output = path.with_name("scores.ndjson")
    tally = score_file(Request(path, output, force=True, options=options, coding=coding), scorer, unseen)
    return output.read_bytes(), tally


def understood(path: Path, scorer: Scorer, options: ReadOptions = PLAIN) -> list[str]:
    """Return the notes about a file, and check that they come before the first row."""
    told: list[str] = []

    def note(file: Path, notes: Sequence[str]) -> None:
        assert file == path
        told.append("; ".join(notes))

    def watch(_done: int, _total: int | None, _tally: Tally) -> None:
        assert told

    score_file(Request(path, path.with_name("scores.ndjson"), force=True, options=options), scorer, watch, note)
    return told


def refused(path: Path, scorer: Scorer, options: ReadOptions = PLAIN) -> str:
    """Return why a file is refused, and check that nothing is published."""
    output = path.with_name("refused.ndjson")
    with pytest.raises(DataError) as caught:
        score_file(Request(path, output, options=options), scorer, unseen)
    assert not output.exists()
    return str(caught.value).replace(str(path), "FILE")


def patients(first: int, count: int, named: Callable[[int], str] = "p-{}".format) -> list[Cells]:
    """Return some of the snapshot's patients with ids."""
    rows = (PATIENTS[place % len(PATIENTS)] for place in range(first, first + count))
    return [{**row, "patient_id": named(number)} for number, row in enumerate(rows, 1)]


@WIDELY
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
    expected, counts = scored(clean, scorer)
    found, others = scored(foreign, scorer, form.options)
    assert expected.count(b"\n") == count
    assert expected == found
    assert (counts.rejected, others.rejected, others.blank_rows) == (0, 0, form.empty_rows)


def test_a_clean_file_prints_no_notes(scorer: Scorer, tmp_path: Path) -> None:
    """Without anything to detect nothing is printed."""
    path = tmp_path / "in.csv"
    path.write_bytes(Form().write(patients(0, 50)))
    assert understood(path, scorer) == [""]


def test_detected_conventions_are_printed_once(scorer: Scorer, tmp_path: Path) -> None:
    """All of them, before the first row, with column names and no patient's values."""
    path = tmp_path / "in.csv"
    form = Form(";", ",", "utf-16", alias=1, missing="NA", words=True, extra=("notes",), id_column="id")
    path.write_bytes(form.write(patients(250, 60)))
    (said,) = understood(path, scorer, form.options)
    assert said.startswith("encoded in utf-16; separated by ';'; with decimal commas; patient_id is column \"id\"")
    assert 'chol is column "cholesterol"' in said
    assert said.endswith(
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
    assert scored(clean, scorer)[0] == scored(path, scorer)[0]
    (said,) = understood(path, scorer)
    assert "without a header, with the columns of UCI's published files; the last one, num, is not read" in said
    assert "patient_id is the row number" in said


def test_row_ids_number_the_rows(scorer: Scorer, tmp_path: Path) -> None:
    """With --row-ids the ids are row numbers across batches, in CSV and Parquet."""
    count = 20_000
    rows = patients(0, count, str)
    (clean := tmp_path / "clean.csv").write_bytes(Form().write(rows))
    lines = Form().write(rows).splitlines(keepends=True)
    (path := tmp_path / "in.csv").write_bytes(b"".join(line.partition(b",")[2] for line in lines))
    assert path.stat().st_size > CSV_BATCH_BYTES
    assert "use --id-column NAME for another column, or --row-ids for row numbers" in refused(path, scorer)
    expected, tally = scored(clean, scorer)
    assert (expected, count) == (scored(path, scorer, ReadOptions(row_ids=True))[0], tally.scored)
    columns = {name: pa.array([float(row[name]) if row[name] else None for row in rows]) for name in FEATURE_NAMES}
    pq.write_table(pa.table({**columns, "Nr": pa.array(range(1, count + 1))}), tmp_path / "in.parquet")
    for options in (ReadOptions(row_ids=True, ignore_columns="nr"), ReadOptions(id_column="Nr")):
        assert expected == scored(tmp_path / "in.parquet", scorer, options)[0]


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
    told = [{name: words.get(name, {}).get(cell, cell) for name, cell in row.items()} for row in rows]
    header, _, body = Form().write(told).partition(b"\n")
    (path := tmp_path / "heart_disease_uci.csv").write_bytes(
        header.replace(b"patient_id", b"id").replace(b"thalach", b"thalch") + b"\n" + body
    )
    assert scored(clean, scorer)[0] == scored(path, scorer, ReadOptions(id_column="id"))[0]


def test_words_are_not_read_in_another_coding(scorer: Scorer, tmp_path: Path) -> None:
    """Words mean UCI's codes; in another coding they would be converted a second time."""
    path = tmp_path / "in.csv"
    path.write_bytes(Form(words=True).write(patients(0, 30)))
    assert scored(path, scorer, coding="kaggle-303")[1].codes == {"wrong_type": 30}


def test_values_of_a_file_without_a_header_are_never_printed(scorer: Scorer, tmp_path: Path) -> None:
    """Its first line is a patient, even if the cells look like names."""
    path = tmp_path / "in.csv"
    for line in ("SECRET,Male,asymptomatic,Miller,4711,233", "4711,63,1,1,145,233,1,2,150,0,2.3,3,0,6", "SECRET"):
        path.write_text(f"{line}\n{line}\n")
        for options in (PLAIN, ReadOptions(row_ids=True, ignore_columns="SECRET"), ReadOptions(id_column="x")):
            said = refused(path, scorer, options)
            assert "almost none of its" in said
            assert not any(word in said for word in ("SECRET", "Miller", "4711", "145"))


@pytest.mark.parametrize(
    ("content", "option"),
    [
        (Form(";").write(patients(0, 3)).replace(b";", b"^"), "--delimiter"),
        (Form(encoding="utf-16-le").write(patients(0, 3)), "--encoding utf-16-le"),
        (Form(encoding="utf-16-be").write(patients(0, 3)), "--encoding utf-16-be"),
        (Form(id_column="Größe", encoding="cp1252").write(patients(0, 3)), "--encoding"),
        (Form(";").write(patients(0, 9)) + b"x;60;1;1;140;200;0;0;150;0;1,5;1;0;3\n", "--decimal"),
        (Form(extra=("target",)).write(patients(0, 3)), '--ignore-columns "target" or --ignore-extra'),
        (Form(id_column="").write(patients(0, 3)), "--ignore-extra"),
    ],
)
def test_a_refusal_names_the_option_that_reads_the_file(
    content: bytes, option: str, scorer: Scorer, tmp_path: Path
) -> None:
    """For the separator, encoding, decimal mark, extra columns and a column without a name."""
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    assert option in refused(path, scorer)


@pytest.mark.parametrize(
    "options",
    [
        ReadOptions(delimiter=";;"),
        ReadOptions(delimiter='"'),
        ReadOptions(decimal="'"),
        ReadOptions(delimiter=",", decimal=","),
        ReadOptions(encoding="klingon"),
        ReadOptions(encoding="rot13"),
        ReadOptions(row_ids=True, id_column="id"),
    ],
)
def test_invalid_options_are_refused(options: ReadOptions, scorer: Scorer, tmp_path: Path) -> None:
    """For every format, before the file is opened."""
    for name in ("in.csv", "in.ndjson", "in.parquet"):
        with pytest.raises(SettingsError, match="--"):
            score_file(Request(tmp_path / name, tmp_path / "out", options=options), scorer, unseen)


def test_the_other_decimal_mark_is_not_a_number(scorer: Scorer, tmp_path: Path) -> None:
    """In a file with decimal commas 1.234 may be a thousand: such rows are rejected."""
    rows = patients(0, 1_500)
    late = [{**row, "oldpeak": "1,5" if number == 1_400 else row["oldpeak"]} for number, row in enumerate(rows)]
    path = tmp_path / "in.csv"
    path.write_bytes(Form(";").write(late))
    assert scored(path, scorer)[1].codes == {"wrong_type": 1}
    path.write_bytes(Form(";").write([{**row, "oldpeak": "1.234"} for row in rows[:5]]))
    assert scored(path, scorer, ReadOptions(decimal=","))[1].codes == {"wrong_type": 5}


def test_missing_markers_are_counted(scorer: Scorer, tmp_path: Path) -> None:
    """By their text over the whole file; with --na-values the default markers are text."""
    rows = [{**row, "ca": "NA" if place % 2 else "?"} for place, row in enumerate(patients(0, 100))]
    path = tmp_path / "in.csv"
    path.write_bytes(Form().write(rows))
    assert scored(path, scorer)[1].missing == {"NA": 50, "?": 50}
    found = scored(path, scorer, ReadOptions(na_values="NA,x"))[1]
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
    assert scored(clean, scorer)[0] == scored(path, scorer, ReadOptions(ignore_columns="note"))[0]


def test_an_unclosed_quote_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    """In the last column it would take all following rows for one cell."""
    path = tmp_path / "in.csv"
    lines = Form(extra=("note",)).write(patients(0, 9)).splitlines(keepends=True)
    lines = [lines[0], *(line.partition(b',"5')[0] + b",n\n" for line in lines[1:])]
    lines[4] = lines[4].replace(b",n\n", b',"n\n')
    path.write_bytes(b"".join(lines))
    said = refused(path, scorer, ReadOptions(ignore_extra=True))
    assert said == f"FILE is refused: a quote in row 4 (byte {sum(map(len, lines[:4]))}) is not closed"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_broken_row_is_located_by_row_and_byte(mark: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """Counted over the whole file, including blank lines and the byte order mark, not within a batch."""
    path = tmp_path / "in.csv"
    lines = Form().write(patients(0, 15_000)).splitlines(keepends=True)
    before = mark + lines[0] + b"\n\n" + b"".join(lines[1:14_000])
    path.write_bytes(before + b"SECRET,1\n" + b"".join(lines[14_000:]))
    assert len(before) > CSV_BATCH_BYTES
    said = refused(path, scorer)
    assert said.startswith(f"FILE is refused: row 14000 (byte {len(before)}) has 2 cells where 14 are expected")
    assert "SECRET" not in said


def test_files_are_read_by_our_thread_only(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's read-ahead would call Python during its shutdown and abort the process."""
    path, readers, read = tmp_path / "in.csv", set[int](), RawFile.read

    def noted(file: RawFile, size: int = -1, /) -> bytes:
        readers.add(threading.get_ident())
        return read(file, size)

    monkeypatch.setattr(RawFile, "read", noted)
    path.write_bytes(Form().write(patients(0, 15_000)))
    scored(path, scorer)
    assert readers == {threading.get_ident()}


@pytest.mark.parametrize("change", ["grows", "is cut"])
@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_a_file_that_changes_while_it_is_read_is_not_published(
    kind: str, change: str, scorer: Scorer, tmp_path: Path
) -> None:
    """The rows that were read are neither the old file nor the new one."""
    rows = patients(0, 40_000)
    path = tmp_path / f"in.{kind}"
    if kind == "parquet":
        columns = {n: pa.array([float(r[n]) if r[n] else None for r in rows]) for n in FEATURE_NAMES}
        pq.write_table(pa.table({"patient_id": [r["patient_id"] for r in rows], **columns}), path)
    else:
        path.write_bytes(Form().write(rows) if kind == "csv" else b"\n".join(as_records([COMPLETE] * 40_000)))
    whole = path.read_bytes()

    def meanwhile(_done: int, _total: int | None, tally: Tally) -> None:
        if tally.rows and path.stat().st_size == len(whole):
            with path.open("r+b") as file:
                file.truncate(len(whole) - 100) if change == "is cut" else file.seek(0, 2) and file.write(b"\n")

    request = Request(path, tmp_path / "out.ndjson")
    with pytest.raises(DependencyError, match="changed while it was read"):
        score_file(request, scorer, meanwhile)
    assert not request.output.exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lines_with_a_byte_order_mark_lose_no_record(encoding: str, scorer: Scorer, tmp_path: Path) -> None:
    """The first record is scored like the others."""
    records = as_records([COMPLETE, {**COMPLETE, "patient_id": "é"}])
    (clean := tmp_path / "clean.ndjson").write_bytes(b"\n".join(records))
    (path := tmp_path / "in.ndjson").write_bytes(b"\n".join(records).decode().encode(encoding))
    assert scored(clean, scorer)[0] == scored(path, scorer)[0]


@pytest.mark.parametrize("content", [b"[%b,%b]", b"[\n%b,\n%b\n]", b"{\n  %b\n}\n%b"])
def test_a_json_document_is_not_json_lines(content: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """An array and multi-line records are distinguished from individually broken records."""
    path = tmp_path / "in.ndjson"
    path.write_bytes(content % tuple(as_records([COMPLETE, COMPLETE])))
    assert "jq -c '.[]' FILE" in refused(path, scorer)


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
    assert scored(pipe, scorer)[0] == scored(clean, scorer)[0]
    writer.join()
