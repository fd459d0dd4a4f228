"""Scoring files: invalid inputs, existing outputs, and what is left after a finished or interrupted run."""

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
    """Score an invalid file; return the error, and check that no output file exists."""
    output = path.with_name("refused.ndjson")
    with pytest.raises(DataError) as caught:
        score_file(Request(path, output, format=kind, force=True), scorer, unseen)
    assert not output.exists()
    return str(caught.value).replace(str(path), "FILE")


def test_a_finished_run_leaves_only_scores_and_errors(wanted: Request, scorer: Scorer, tmp_path: Path) -> None:
    """No partial file and no journal is left, and the counts match the files."""
    assert Tally(2, 1, {"impossible_code": 1}) == score_file(wanted, scorer, unseen)
    assert {"in.ndjson", "out.ndjson", "errors.ndjson"} == names_in(tmp_path)
    assert wanted.output.read_bytes().count(b"\n") == 2
    (line,) = (tmp_path / "errors.ndjson").read_bytes().splitlines()
    assert json.loads(line)["row"] == 2


def test_the_errors_file_contains_no_values(scorer: Scorer, tmp_path: Path) -> None:
    """Neither ids nor values nor names of unknown fields."""
    source = tmp_path / "in.ndjson"
    source.write_bytes(b'{"patient_id": "SECRET-1", "age": 4711, "SECRET-2": "SECRET-3"}\n')
    score_file(Request(source, tmp_path / "out.ndjson", tmp_path / "errors.ndjson"), scorer, unseen)
    told = (tmp_path / "errors.ndjson").read_text()
    assert "out_of_range" in told
    assert not any(word in told for word in ("SECRET", "4711"))


def test_without_rejections_there_is_no_errors_file(wanted: Request, scorer: Scorer, tmp_path: Path) -> None:
    """With --force an errors file of an earlier run is removed."""
    (tmp_path / "errors.ndjson").write_text("old")
    wanted.source.write_bytes(b"".join(as_records([COMPLETE])))
    again = Request(wanted.source, wanted.output, wanted.errors, force=True)
    assert Tally(1) == score_file(again, scorer, unseen)
    assert {"in.ndjson", "out.ndjson"} == names_in(tmp_path)


@pytest.mark.parametrize("name", ["out.ndjson", "errors.ndjson"])
def test_existing_files_are_not_replaced_without_force(
    name: str, wanted: Request, scorer: Scorer, tmp_path: Path
) -> None:
    """Neither of the two."""
    (tmp_path / name).write_text("precious")
    with pytest.raises(SettingsError, match="--force"):
        score_file(wanted, scorer, unseen)
    assert (tmp_path / name).read_text() == "precious"
    assert {"in.ndjson", name} == names_in(tmp_path)


def test_an_interrupted_run_needs_resume_or_force(wanted: Request, scorer: Scorer) -> None:
    """Its partial file is kept until then."""
    partial_path(wanted.output).write_text("half")
    with pytest.raises(SettingsError, match="--resume"):
        score_file(wanted, scorer, unseen)
    assert partial_path(wanted.output).read_text() == "half"


class Stopped(Exception):  # noqa: N818  # no error
    """Stands for whatever interrupts a run."""


def stop(_done: int, _total: int | None, tally: Tally) -> None:
    if tally.rows:
        raise Stopped


def test_a_run_that_ends_early_leaves_nothing_under_a_final_name(
    wanted: Request, scorer: Scorer, tmp_path: Path
) -> None:
    """A partial file is never mistaken for a complete one."""
    with pytest.raises(Stopped):
        score_file(wanted, scorer, stop)
    assert not wanted.output.exists()
    assert not (tmp_path / "errors.ndjson").exists()


@pytest.mark.parametrize("change", ["input", "model", "version"])
def test_only_the_same_job_is_resumed(change: str, wanted: Request, scorer: Scorer, forest_scorer: Scorer) -> None:
    """Another input, model or batching version would mix two runs or lose rows."""
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


def test_a_change_of_batch_sizes_needs_a_new_batching_version() -> None:
    """A journal counts batches: with other batch sizes it would skip or repeat rows."""
    assert (BATCHING, BATCH_ROWS, CSV_BATCH_BYTES, LINES_BATCH_BYTES) == (3, 8_192, 1 << 19, 1 << 21)


def test_a_damaged_journal_is_reported(wanted: Request, scorer: Scorer) -> None:
    """It is neither used nor ignored."""
    journal_path(wanted.output).write_text("{")
    with pytest.raises(SettingsError, match="not a journal"):
        score_file(Request(wanted.source, wanted.output, resume=True), scorer, unseen)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_all_column_problems_are_reported_together(suffix: str, scorer: Scorer, tmp_path: Path) -> None:
    """Missing and unknown columns are named, with the likely fields and the options that help."""
    row = {**COMPLETE, "note": 1, "cholest": 2}
    names = [name for name in row if name not in {"age", "chol"}]
    write = write_csv if suffix == "csv" else write_parquet
    expected = (
        'FILE is refused: no column age, chol; 2 column(s) are not fields of a patient record: "note", "cholest" '
        '(nearest: chol); --ignore-columns "note,cholest" or --ignore-extra excludes them'
    )
    assert expected == refused(write(tmp_path / f"in.{suffix}", [row], names), scorer)


def test_a_repeated_column_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    """It is ambiguous which one is meant."""
    path = write_csv(tmp_path / "in.csv", [COMPLETE], [*NAMES, "age"])
    said = "FILE is refused: several columns for age: exclude one with --ignore-columns NAME, by its exact name"
    assert refused(path, scorer) == said


def test_columns_of_other_types_are_refused(scorer: Scorer, tmp_path: Path) -> None:
    """The Parquet schema is checked before any row is read."""
    arrays = {name: pa.array(["1"] if name in {"age", "sex"} else [1]) for name in NAMES}
    pq.write_table(pa.table(arrays), tmp_path / "in.parquet")
    expected = (
        "FILE is refused: patient_id is not a column of text; age is not a column of integers or floats; "
        "sex is not a column of integers or floats"
    )
    assert expected == refused(tmp_path / "in.parquet", scorer)


def test_a_row_with_other_cells_than_the_header_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    """The error has the position and not the content."""
    path = write_csv(tmp_path / "in.csv", [COMPLETE])
    path.write_bytes(path.read_bytes() + b"SECRET,1,2\r\n")
    place = len(path.read_bytes()) - len(b"SECRET,1,2\r\n")
    said = refused(path, scorer)
    assert said.startswith(f"FILE is refused: row 2 (byte {place}) has 3 cells where 14 are expected")
    assert "SECRET" not in said


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("content", [b"", b"\0\xff\0\xff" * 30, b"PAR1 not at all"])
def test_noise_is_refused(suffix: str, content: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """A file that is not of the format of its name is reported as such."""
    path = tmp_path / f"in.{suffix}"
    path.write_bytes(content)
    assert refused(path, scorer).startswith("FILE is")


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("inner", ["csv", "ndjson"])
def test_a_damaged_compressed_file_is_refused(suffix: str, inner: str, scorer: Scorer, tmp_path: Path) -> None:
    """Neither noise nor a truncated file passes as complete."""
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
def test_compression_does_not_change_the_scores(suffix: str, inner: str, scorer: Scorer, tmp_path: Path) -> None:
    """Compressed input and output in several members have the same scores."""
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


def test_a_missing_file_is_a_dependency_error(scorer: Scorer, tmp_path: Path) -> None:
    """It is distinguished from an invalid file."""
    for name in ("absent.csv", "absent.ndjson", "absent.parquet"):
        with pytest.raises(DependencyError, match="cannot read"):
            score_file(Request(tmp_path / name, tmp_path / "out"), scorer, unseen)


def test_a_missing_output_folder_is_reported_first(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """The run ends before anything is scored."""
    with pytest.raises(DependencyError, match="cannot write"):
        score_file(Request(source, tmp_path / "absent" / "out"), scorer, unseen)


def test_the_format_follows_the_name_or_the_option(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """An unknown suffix needs --format."""
    other = source.rename(tmp_path / "in.unknown")
    with pytest.raises(SettingsError, match="--format"):
        score_file(Request(other, tmp_path / "out"), scorer, unseen)
    assert score_file(Request(other, tmp_path / "out", format=Format.NDJSON), scorer, unseen).rows == 3


def test_blank_lines_are_skipped(scorer: Scorer, tmp_path: Path) -> None:
    """They are not counted as rows, as over HTTP."""
    (record,) = as_records([COMPLETE])
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n" + record + b"\r\n \r\n\n" + record)
    assert Tally(2) == score_file(Request(source, tmp_path / "out"), scorer, unseen)


def test_a_line_without_end_is_one_rejected_record(scorer: Scorer, tmp_path: Path) -> None:
    """Its length does not matter: it is skipped unread, and the following line is scored."""
    (record,) = as_records([COMPLETE])
    source = tmp_path / "in.ndjson"
    source.write_bytes(b"x" * 10_000_000 + b"\n" + record)
    assert Tally(1, 1, {"too_large": 1}) == score_file(Request(source, tmp_path / "out"), scorer, unseen)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_table_without_rows_gives_no_scores(write: object, scorer: Scorer, tmp_path: Path) -> None:
    """A header alone is an empty file, not an invalid one."""
    source = tmp_path / ("in.csv" if write is write_csv else "in.parquet")
    assert callable(write)
    write(source, [])
    assert Tally() == score_file(Request(source, tmp_path / "out"), scorer, unseen)
    assert (tmp_path / "out").read_bytes() == b""


def test_the_rate_is_that_of_this_run() -> None:
    """Rows of the interrupted run are not counted, and nothing is divided by zero."""
    pace = Throughput()
    assert pace.rows_per_s(Tally(10**15)) == 0.0
    assert 0 < pace.rows_per_s(Tally(10**15 + 1)) <= 1e9


def test_the_summary_counts_rows_by_code() -> None:
    """One line, with the rate."""
    said = summary(Tally(9_990, 10, {"out_of_range": 4, "foreign_code": 7}), 5_000.0)
    expected = "10,000 rows, 9,990 scored, 10 rejected (foreign_code 7, out_of_range 4), 5,000 rows/s"
    assert expected == said
