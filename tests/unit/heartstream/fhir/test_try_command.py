"""`heartstream fhir try` says of each Bundle what a gateway reads, passes over and misses, and its risk."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from heartstream.cli import app
from heartstream.terminal.exit_codes import BAD_DATA

EXAMPLES = Path("schemas/examples/fhir/v1")
PAGE = Path("docs/fhir.md")
INTERVAL = re.compile(r" \(90% interval .*\)")
"""A quick training gives the same risks, but not the same intervals."""


def tried(*words: object) -> int:
    """Run the command and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        app(["fhir", "try", *map(str, words)])
    return int(caught.value.code or 0)


def test_the_page_shows_its_output(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over the examples of docs/fhir.md, in 80 columns."""
    assert tried(EXAMPLES / "hospitals", "--model", model_dir) == BAD_DATA
    output, errors = capsys.readouterr()
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert INTERVAL.sub("", shown).rstrip() == INTERVAL.sub("", output).rstrip()
    assert max(map(len, output.splitlines())) <= 80
    assert errors == "heartstream: 10 of 17 Bundles scored, 7 refused\n"


def test_json_has_everything(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object per line; the notes are those beside the examples, but for the days since."""
    tried(EXAMPLES / "hospitals", "--model", model_dir, "--json")
    found = {each["file"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert len(found) == 17
    for name, trial in found.items():
        notes = (EXAMPLES / "hospitals" / name).with_suffix(".notes").read_text("utf-8").splitlines()
        days = re.compile(r"\d+ days old")
        assert [days.sub("", each) for each in trial["notes"]] == [days.sub("", each) for each in notes]
        assert (trial["risk"] is None) == bool(trial["errors"])
    assert found["laboratory-specimens.json"]["read"]["fbs"] == "2025-03-03"
    assert found["synthea-with-answers.json"]["answered"] == ["cp", "exang", "thalach"]
    assert "fbs" not in found["laboratory-specimens.json"]["missing"]


def test_all_scored_is_success(model_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are no Bundles by their names are not read."""
    assert tried(EXAMPLES / "accepted", "--model", model_dir) == 0
    assert capsys.readouterr().err == "heartstream: 4 of 4 Bundles scored, 0 refused\n"


def test_the_lookback_can_be_given(
    model_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the setting."""
    monkeypatch.setenv("HEARTSTREAM_FHIR__LOOKBACK_DAYS", "1")
    assert tried(EXAMPLES / "accepted", "--model", model_dir) == BAD_DATA
    assert "cp as it is older than 1 days" in " ".join(capsys.readouterr().out.split())
    assert tried(EXAMPLES / "accepted", "--model", model_dir, "--lookback-days", 0) == 0


def test_what_is_no_bundle_is_refused_in_its_place(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """XML, broken JSON and files over the limit; a byte order mark is none of these."""
    monkeypatch.setenv("HEARTSTREAM_FHIR__BODY_LIMIT_BYTES", "50000")
    good = (EXAMPLES / "accepted" / "required-alone.json").read_bytes()
    for name, content in {
        "a.xml": b"<Bundle/>",
        "b.json": b"{",
        "c.json": b" " * 50_001,
        "d.json": b"\xef\xbb\xbf" + good,
    }.items():
        (tmp_path / name).write_bytes(content)
    assert tried(tmp_path, "--model", model_dir) == BAD_DATA
    a, b, c, d = capsys.readouterr().out.strip().split("\n\n")
    assert "this is XML: send the Bundle as JSON" in a
    assert "must be a JSON document in UTF-8" in b
    assert "larger than HEARTSTREAM_FHIR__BODY_LIMIT_BYTES" in c
    assert d.startswith("d.json: risk ")


def test_an_empty_folder_is_an_error(model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says which files are read."""
    shutil.copy(PAGE, tmp_path)
    assert tried(tmp_path, "--model", model_dir) == BAD_DATA
    assert capsys.readouterr().err == f"heartstream: {tmp_path} has no file that ends in .json or .xml\n"
