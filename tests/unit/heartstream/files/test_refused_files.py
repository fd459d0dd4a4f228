"""Files that cannot be read reliably are refused, with the row or the option that helps."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heartstream.files.batching import CSV_BATCH_BYTES
from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from schemas.errors import DependencyError, SettingsError
from schemas.read_options import ReadOptions
from scoring.scorer import Scorer
from tests.support.file_tables import COMPLETE, as_records, unseen
from tests.support.uci import FEATURE_NAMES
from tests.unit.heartstream.files.foreign import DEFAULT_OPTIONS, Form, patients, refusal_of


def test_values_of_a_file_without_a_header_are_never_printed(scorer: Scorer, tmp_path: Path) -> None:
    """Its first line is a patient, even if the cells look like names."""
    path = tmp_path / "in.csv"
    for line in ("SECRET,Male,asymptomatic,Miller,4711,233", "4711,63,1,1,145,233,1,2,150,0,2.3,3,0,6", "SECRET"):
        path.write_text(f"{line}\n{line}\n")
        for options in (
            DEFAULT_OPTIONS,
            ReadOptions(row_ids=True, ignore_columns="SECRET"),
            ReadOptions(id_column="x"),
        ):
            reason = refusal_of(path, scorer, options)
            assert "almost none of its" in reason
            assert not any(word in reason for word in ("SECRET", "Miller", "4711", "145"))


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
    assert option in refusal_of(path, scorer)


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


def test_an_unclosed_quote_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    """In the last column it would take all following rows for one cell."""
    path = tmp_path / "in.csv"
    lines = Form(extra=("note",)).write(patients(0, 9)).splitlines(keepends=True)
    lines = [lines[0], *(line.partition(b',"5')[0] + b",n\n" for line in lines[1:])]
    lines[4] = lines[4].replace(b",n\n", b',"n\n')
    path.write_bytes(b"".join(lines))
    reason = refusal_of(path, scorer, ReadOptions(ignore_extra=True))
    assert reason == f"FILE is refused: a quote in row 4 (byte {sum(map(len, lines[:4]))}) is not closed"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_broken_row_is_located_by_row_and_byte(mark: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """Counted over the whole file, including blank lines and the byte order mark, not within a batch."""
    path = tmp_path / "in.csv"
    lines = Form().write(patients(0, 15_000)).splitlines(keepends=True)
    before = mark + lines[0] + b"\n\n" + b"".join(lines[1:14_000])
    path.write_bytes(before + b"SECRET,1\n" + b"".join(lines[14_000:]))
    assert len(before) > CSV_BATCH_BYTES
    reason = refusal_of(path, scorer)
    assert reason.startswith(f"FILE is refused: row 14000 (byte {len(before)}) has 2 cells where 14 are expected")
    assert "SECRET" not in reason


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

    def change_the_file(_done: int, _total: int | None, tally: Tally) -> None:
        if tally.rows and path.stat().st_size == len(whole):
            with path.open("r+b") as file:
                file.truncate(len(whole) - 100) if change == "is cut" else file.seek(0, 2) and file.write(b"\n")

    request = Request(path, tmp_path / "out.ndjson")
    with pytest.raises(DependencyError, match="changed while it was read"):
        score_file(request, scorer, change_the_file)
    assert not request.output.exists()


@pytest.mark.parametrize("content", [b"[%b,%b]", b"[\n%b,\n%b\n]", b"{\n  %b\n}\n%b"])
def test_a_json_document_is_not_json_lines(content: bytes, scorer: Scorer, tmp_path: Path) -> None:
    """An array and multi-line records are distinguished from individually broken records."""
    path = tmp_path / "in.ndjson"
    path.write_bytes(content % tuple(as_records([COMPLETE, COMPLETE])))
    assert "jq -c '.[]' FILE" in refusal_of(path, scorer)
