"""Files that are no patients, files that are in the way, and what is left beside a finished one."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heartstream.files.batching import BATCH_ROWS, BATCHING, CSV_BATCH_BYTES, LINES_BATCH_BYTES
from heartstream.files.formats import Format
from heartstream.files.output_paths import journal_path, partial_path
from heartstream.files.render import Throughput, summary
from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from schemas.errors import DataError, DependencyError, SettingsError
from scoring.scorer import Scorer
from tests.support.file_tables import COMPLETE, NAMES, as_records, unseen, write_csv, write_parquet

BAD = {**COMPLETE, "thal": 4}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"\n".join(as_records([COMPLETE, BAD, COMPLETE])) + b"\n")
    return path


@pytest.fixture
def wanted(source: Path, tmp_path: Path) -> Request:
    return Request(source, tmp_path / "out.ndjson", tmp_path / "errors.ndjson")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refused(path: Path, scorer: Scorer, kind: Format | None = None) -> str:
    """Score a file that is no good; return what is said, and see that nothing has a final name."""
    output = path.with_name("refused.ndjson")
    with pytest.raises(DataError) as caught:
        score_file(Request(path, output, format=kind, force=True), scorer, unseen)
    assert not output.exists()
    return str(caught.value).replace(str(path), "FILE")


def test_a_finished_run_leaves_scores_and_errors_alone(wanted: Request, scorer: Scorer, tmp_path: Path) -> None:
    """No partial file and no journal is left, and the counts are those of the files."""
    assert Tally(2, 1, {"impossible_code": 1}) == score_file(wanted, scorer, unseen)
    assert {"in.ndjson", "out.ndjson", "errors.ndjson"} == names_in(tmp_path)
    assert wanted.output.read_bytes().count(b"\n") == 2
    (line,) = (tmp_path / "errors.ndjson").read_bytes().splitlines()
    assert json.loads(line)["row"] == 2


def test_errors_hold_no_value(scorer: Scorer, tmp_path: Path) -> None:
    """The file of errors has neither ids nor values nor names of unknown fields."""
    source = tmp_path / "in.ndjson"
    source.write_bytes(b'{"patient_id": "SECRET-1", "age": 4711, "SECRET-2": "SECRET-3"}\n')
    score_file(Request(source, tmp_path / "out.ndjson", tmp_path / "errors.ndjson"), scorer, unseen)
    told = (tmp_path / "errors.ndjson").read_text()
    assert "out_of_range" in told
    assert not any(word in told for word in ("SECRET", "4711"))


def test_where_nothing_is_rejected_there_is_no_errors_file(wanted: Request, scorer: Scorer, tmp_path: Path) -> None:
    """Also none of an earlier run, when that was to be replaced."""
    (tmp_path / "errors.ndjson").write_text("old")
    wanted.source.write_bytes(b"".join(as_records([COMPLETE])))
    again = Request(wanted.source, wanted.output, wanted.errors, force=True)
    assert Tally(1) == score_file(again, scorer, unseen)
    assert {"in.ndjson", "out.ndjson"} == names_in(tmp_path)


@pytest.mark.parametrize("name", ["out.ndjson", "errors.ndjson"])
def test_files_are_not_replaced_unasked(name: str, wanted: Request, scorer: Scorer, tmp_path: Path) -> None:
    """A file that is there stays as it is, whichever of the two."""
    (tmp_path / name).write_text("precious")
    with pytest.raises(SettingsError, match="--force"):
        score_file(wanted, scorer, unseen)
    assert (tmp_path / name).read_text() == "precious"
    assert {"in.ndjson", name} == names_in(tmp_path)


def test_an_interrupted_run_is_not_begun_anew_unasked(wanted: Request, scorer: Scorer) -> None:
    """What such a run left is either gone on with or replaced, as one says."""
    partial_path(wanted.output).write_text("half")
    with pytest.raises(SettingsError, match="--resume"):
        score_file(wanted, scorer, unseen)
    assert partial_path(wanted.output).read_text() == "half"


class Stopped(Exception):  # noqa: N818  # no error
    """Stands for whatever ends a run in its midst."""


def stop(_done: int, _total: int | None, tally: Tally) -> None:
    if tally.rows:
        raise Stopped


def test_a_run_that_ends_early_leaves_nothing_under_a_final_name(
    wanted: Request, scorer: Scorer, tmp_path: Path
) -> None:
    """There is no half file to be mistaken for a whole one."""
    with pytest.raises(Stopped):
        score_file(wanted, scorer, stop)
    assert not wanted.output.exists()
    assert not (tmp_path / "errors.ndjson").exists()


@pytest.mark.parametrize("change", ["input", "model", "version"])
def test_only_the_same_job_is_gone_on_with(change: str, wanted: Request, scorer: Scorer, forest_scorer: Scorer) -> None:
    """Another input or model would make a file of two halves; a version that cuts batches otherwise, lost rows."""
    with pytest.raises(Stopped):
        score_file(wanted, scorer, stop)
    if change == "input":
        wanted.source.write_bytes(b"".join(as_records([COMPLETE])))
    if change == "version":
        journal = journal_path(wanted.output)
        journal.write_bytes(re.sub(rb',"batching":\d+', b"", journal.read_bytes()))
    again = Request(wanted.source, wanted.output, wanted.errors, resume=True)
    with pytest.raises(SettingsError, match="another input, model, settings or version"):
        score_file(again, forest_scorer if change == "model" else scorer, unseen)


def test_whoever_cuts_files_otherwise_gives_that_a_number() -> None:
    """A journal counts batches: with other ones it would skip rows, or score them twice."""
    assert (BATCHING, BATCH_ROWS, CSV_BATCH_BYTES, LINES_BATCH_BYTES) == (3, 8_192, 1 << 19, 1 << 21)


def test_a_damaged_journal_is_said_to_be_one(wanted: Request, scorer: Scorer) -> None:
    """It is neither followed nor ignored."""
    journal_path(wanted.output).write_text("{")
    with pytest.raises(SettingsError, match="not a journal"):
        score_file(Request(wanted.source, wanted.output, resume=True), scorer, unseen)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_all_that_is_wrong_with_columns_is_said_at_once(suffix: str, scorer: Scorer, tmp_path: Path) -> None:
    """Missing columns and unknown ones are named, with the fields that may be meant and the options that help."""
    row = {**COMPLETE, "note": 1, "cholest": 2}
    names = [name for name in row if name not in {"age", "chol"}]
    write = write_csv if suffix == "csv" else write_parquet
    expected = (
        'FILE is refused: no column age, chol; 2 column(s) that are no field of a patient record: "note", "cholest" '
        '(nearest: chol); --ignore-columns "note,cholest" or --ignore-extra leaves them out'
    )
    assert expected == refused(write(tmp_path / f"in.{suffix}", [row], names), scorer)


def test_a_repeated_column_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    """It cannot be known which of them is meant."""
    path = write_csv(tmp_path / "in.csv", [COMPLETE], [*NAMES, "age"])
    said = "FILE is refused: more than one column age: --ignore-columns NAME leaves one out, as it is written"
    assert refused(path, scorer) == said


def test_columns_of_other_types_are_refused(scorer: Scorer, tmp_path: Path) -> None:
    """A Parquet column says what it holds, so one look at the file is enough."""
    arrays = {name: pa.array(["1"] if name in {"age", "sex"} else [1]) for name in NAMES}
    pq.write_table(pa.table(arrays), tmp_path / "in.parquet")
    expected = (
        "FILE is refused: patient_id is not a column of text; age is not a column of integers or floats; "
        "sex is not a column of integers or floats"
    )
    assert expected == refused(tmp_path / "in.parquet", scorer)


def test_a_row_with_other_cells_than_the_header_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    """It is said where, and not what is in it."""
    path = write_csv(tmp_path / "in.csv", [COMPLETE])
    path.write_bytes(path.read_bytes() + b"SECRET,1,2\r\n")
    place = len(path.read_bytes()) - len(b"SECRET,1,2\r\n")
    said = refused(path, scorer)
    assert said.startswith(f"FILE is refused: row 2 (byte {place}) has 3 cells where 14 are expected")
    assert "SECRET" not in said


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("content", [b"", b"\0\xff\0\xff" * 30, b"PAR1 not at all"])
def test_noise_is_refused(suffix: str, content: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """A file that is not what its name says is an error of the file."""
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(content)
    assert refused(path, scorer).startswith("FILE is")


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("inner", ["csv", "ndjson"])
def test_a_damaged_compressed_file_is_refused(suffix: str, inner: str, scorer: Scorer, tmp_path: Path) -> None:
    """Neither noise nor a file that is cut short passes for a whole one."""
    noise = tmp_path / f"noise.{inner}.{suffix}"
    noise.write_bytes(b"noise" * 50)
    assert refused(noise, scorer) == "FILE is damaged, or not compressed as its name says"
    plain = write_csv(tmp_path / "plain.csv", [COMPLETE] * 5000)
    whole = gzip.compress(plain.read_bytes()) if suffix == "gz" else zstd(plain.read_bytes())
    noise.write_bytes(whole[:-20])
    assert refused(noise, scorer).startswith("FILE is")


def zstd(content: bytes) -> bytes:
    found: bytes = pa.Codec("zstd").compress(content, asbytes=True)
    return found


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("inner", ["csv", "ndjson"])
def test_compression_changes_nothing_inside(suffix: str, inner: str, scorer: Scorer, tmp_path: Path) -> None:
    """Read and written compressed, in several parts, the scores are the same."""
    rows = [{**COMPLETE, "patient_id": f"p-{number}"} for number in range(30_000)]
    plain = write_csv(tmp_path / "plain.csv", rows) if inner == "csv" else tmp_path / "plain.ndjson"
    if inner == "ndjson":
        plain.write_bytes(b"\n".join(as_records(rows)))
    score_file(Request(plain, tmp_path / "plain.out"), scorer, unseen)
    expected = (tmp_path / "plain.out").read_bytes()
    halves = [plain.read_bytes()[:1000], plain.read_bytes()[1000:]]
    packed = tmp_path / f"in.{inner}{suffix}"
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstd}[suffix]
    packed.write_bytes(b"".join(pack(half) for half in halves))
    output = tmp_path / f"out.ndjson{suffix}"
    assert Tally(30_000) == score_file(Request(packed, output), scorer, unseen)
    assert expected == unpacked(output)


def unpacked(path: Path) -> bytes:
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            return bytes(stream.read())
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_a_file_that_is_not_there_cannot_be_read(scorer: Scorer, tmp_path: Path) -> None:
    """That is another kind of error than a bad file."""
    for name in ("absent.csv", "absent.ndjson", "absent.parquet"):
        with pytest.raises(DependencyError, match="cannot read"):
            score_file(Request(tmp_path / name, tmp_path / "out"), scorer, unseen)


def test_a_folder_that_is_not_there_cannot_be_written(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """The run ends before anything is scored."""
    with pytest.raises(DependencyError, match="cannot write"):
        score_file(Request(source, tmp_path / "absent" / "out"), scorer, unseen)


def test_the_format_is_told_by_the_name_or_given(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """A name that says nothing needs a word."""
    other = source.rename(tmp_path / "in.unknown")
    with pytest.raises(SettingsError, match="--format"):
        score_file(Request(other, tmp_path / "out"), scorer, unseen)
    assert score_file(Request(other, tmp_path / "out", format=Format.NDJSON), scorer, unseen).rows == 3


def test_blank_lines_are_no_records(scorer: Scorer, tmp_path: Path) -> None:
    """As for lines over HTTP; they are not counted as rows."""
    (record,) = as_records([COMPLETE])
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n" + record + b"\r\n \r\n\n" + record)
    assert Tally(2) == score_file(Request(source, tmp_path / "out"), scorer, unseen)


def test_a_line_without_end_is_one_rejected_record(scorer: Scorer, tmp_path: Path) -> None:
    """Its length does not matter: it is refused unread, and what comes after it is scored."""
    (record,) = as_records([COMPLETE])
    source = tmp_path / "in.ndjson"
    source.write_bytes(b"x" * 10_000_000 + b"\n" + record)
    assert Tally(1, 1, {"too_large": 1}) == score_file(Request(source, tmp_path / "out"), scorer, unseen)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_table_without_rows_gives_no_scores(write: object, scorer: Scorer, tmp_path: Path) -> None:
    """A header by itself is a file of nobody, not a bad file."""
    source = tmp_path / ("in.csv" if write is write_csv else "in.parquet")
    assert callable(write)
    write(source, [])
    assert Tally() == score_file(Request(source, tmp_path / "out"), scorer, unseen)
    assert (tmp_path / "out").read_bytes() == b""


def test_the_pace_is_that_of_this_run() -> None:
    """What an interrupted run had scored is not counted, and nothing is divided by nothing."""
    pace = Throughput()
    assert pace.rows_per_s(Tally(10**15)) == 0.0
    assert 0 < pace.rows_per_s(Tally(10**15 + 1)) <= 1e9


def test_the_summary_counts_rows_by_code() -> None:
    """A line for people, with the rate."""
    said = summary(Tally(9_990, 10, {"out_of_range": 4, "foreign_code": 7}), 5_000.0)
    expected = "10,000 rows, 9,990 scored, 10 rejected (foreign_code 7, out_of_range 4), 5,000 rows/s"
    assert expected == said
