"""A file in another coding is scored if the coding is declared, and refused before anything is published otherwise."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from heartstream.files.input_file import InputOptions
from heartstream.files.score import HELD_RECORDS, Request, score_file
from heartstream.monitoring.compare.comparison import compare_file
from heartstream.monitoring.drift.counting import count_file
from schemas.errors import DataError
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.file_tables import unseen
from tests.support.public_copies import copy_records, uci_records
from tests.support.uci import FEATURE_NAMES

KINDS = ("ndjson", "csv")


def written(folder: Path, records: list[bytes], kind: str) -> Path:
    """Write records to a file of this format."""
    path = folder / f"in.{kind}"
    if kind == "ndjson":
        path.write_bytes(b"\n".join(records) + b"\n")
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["patient_id", *FEATURE_NAMES])
        writer.writeheader()
        writer.writerows([json.loads(record) for record in records])
    return path


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["kaggle-303", "kaggle-297", "keel"])
def test_a_foreign_file_publishes_nothing(tmp_path: Path, scorer: Scorer, name: str, kind: str, processes: int) -> None:
    """The refusal names the codings; no output and nothing that blocks the next run is left."""
    source = written(tmp_path, copy_records(name) * 20, kind)
    request = Request(source, tmp_path / "out.ndjson", tmp_path / "errors.ndjson", processes=processes)
    with pytest.raises(
        DataError, match=r"another coding .* --coding to one of kaggle-303, kaggle-297, statlog, .*or to uci"
    ):
        score_file(request, scorer, unseen)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["kaggle-303", "kaggle-297", "statlog"])
def test_a_file_with_a_declared_coding_has_the_scores_of_ucis_rows(
    tmp_path: Path, scorer: Scorer, name: str, kind: str
) -> None:
    """Byte for byte, row by row."""
    (tmp_path / "uci").mkdir()
    expected = Request(written(tmp_path / "uci", uci_records(name), kind), tmp_path / "expected.ndjson")
    actual = Request(written(tmp_path, copy_records(name), kind), tmp_path / "actual.ndjson", coding=name)
    assert score_file(expected, scorer, unseen) == score_file(actual, scorer, unseen)
    assert expected.output.read_bytes() == actual.output.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_wrong_coding_rejects_the_rows(tmp_path: Path, scorer: Scorer, kind: str) -> None:
    """Rows with codes that the declared coding does not have are rejected, never converted by chance."""
    source = written(tmp_path, copy_records("kaggle-297"), kind)
    tally = score_file(Request(source, tmp_path / "out.ndjson", coding="uci"), scorer, unseen)
    assert (tally.scored, tally.codes) == (0, {"impossible_code": 297})


def test_nothing_of_a_foreign_file_goes_to_standard_output(
    tmp_path: Path, scorer: Scorer, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Enough rows are buffered that each known copy is detected before the first score is written."""
    legal = [value for value in copy_records("keel") if json.loads(value)["oldpeak"] <= 10]
    source = written(tmp_path, [*legal[:20], *copy_records("keel")], "ndjson")
    with pytest.raises(DataError):
        score_file(Request(source, Path("-")), scorer, unseen)
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize("rows", [1, HELD_RECORDS - 1, HELD_RECORDS, 270])
def test_all_of_a_clean_file_goes_to_standard_output(
    tmp_path: Path, scorer: Scorer, capfdbinary: pytest.CaptureFixture[bytes], rows: int
) -> None:
    """Buffered rows are written in order, however short the file is."""
    source = written(tmp_path, uci_records("statlog")[:rows], "ndjson")
    score_file(Request(source, Path("-")), scorer, unseen)
    found = [json.loads(line)["patient_id"] for line in capfdbinary.readouterr().out.splitlines()]
    assert found == [f"statlog-{place}" for place in range(rows)]


@pytest.mark.parametrize("name", ["kaggle-303", "kaggle-297"])
def test_drift_and_compare_read_a_file_by_the_same_rule(tmp_path: Path, model_dir: Path, name: str) -> None:
    """They refuse a foreign file; with its coding declared the results are those of UCI's rows."""
    model = load(model_dir)
    (tmp_path / "uci").mkdir()
    foreign = written(tmp_path, copy_records(name), "ndjson")
    own = written(tmp_path / "uci", uci_records(name), "ndjson")
    with pytest.raises(DataError, match="another coding"):
        count_file(model, foreign, None, unseen)
    with pytest.raises(DataError, match="another coding"):
        compare_file(model, model, foreign, None, unseen)
    assert (
        count_file(model, own, None, unseen).drift
        == count_file(model, foreign, None, unseen, InputOptions(coding=name)).drift
    )
    assert compare_file(model, model, own, None, unseen) == compare_file(
        model, model, foreign, None, unseen, InputOptions(coding=name)
    )
