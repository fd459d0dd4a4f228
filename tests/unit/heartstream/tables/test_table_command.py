"""`heartstream table check` reports every problem, `heartstream table init` drafts a table that passes it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from heartstream.cli import app
from heartstream.terminal.exit_codes import BAD_DATA, BAD_SETTINGS, UNAVAILABLE

FOLDER = Path(__file__).parents[3] / "tables"
BUILTIN = Path(__file__).parents[4] / "schemas" / "tables" / "uci_heart.toml"
PATIENTS = "patient_id,age,sex,died\n" + "".join(f"p-{n},{40 + n % 37},{'mf'[n % 2]},{n % 3 // 2}\n" for n in range(60))


def run(*words: object) -> int:
    """Run a command in this process; return its exit code."""
    with pytest.raises(SystemExit) as caught:
        app([str(word) for word in words])
    return int(caught.value.code or 0)


@pytest.mark.parametrize("path", [BUILTIN, *sorted(FOLDER.glob("*.toml"))], ids=lambda path: path.stem)
def test_a_valid_table_has_a_summary_of_80_columns(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fields, optional fields, groups, codings and outcome."""
    assert run("table", "check", path) == 0
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split("  ")[0] for line in lines if not line.startswith(" ")]
    assert starts[:7] == ["table", "fields", "optional", "groups", "codings", "outcome", "digest"]
    assert max(map(len, lines)) <= 80


def test_the_summary_of_the_built_in_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Kinds are counted, values listed."""
    run("table", "check", BUILTIN)
    found = capsys.readouterr().out
    assert "fields     13: 5 quantities, 6 codes, 2 flags\n" in found
    assert "outcome    num: 1, 2, 3, 4 against 0\n" in found


def test_every_problem_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the file and the line; control characters of the file are not printed."""
    path = tmp_path / "bad.toml"
    text = BUILTIN.read_text("utf-8").replace('"years"\n', '"years"\n"\\u001b[2J" = 1\n').replace("1988/1", "?")
    lines = [text[: text.index(part)].count("\n") + 1 for part in ('version = "?"', '"\\u001b[2J"')]
    path.write_text(text, "utf-8")
    assert run("table", "check", path) == BAD_DATA
    errors = capsys.readouterr().err.splitlines()
    assert [int(line.removeprefix(f"{path}:").split(":")[0]) for line in errors[:-1]] == lines
    assert errors[-1] == f"heartstream: {path} has 2 problems"
    assert "\x1b" not in "".join(errors)


def test_another_table_of_the_built_in_name_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reports know the built-in table by name and version; another version may differ."""
    path = tmp_path / "own.toml"
    path.write_text(BUILTIN.read_text("utf-8").replace("limits = [18, 110]", "limits = [18, 111]"), "utf-8")
    assert path.read_text("utf-8") != BUILTIN.read_text("utf-8")
    assert run("table", "check", path) == BAD_DATA
    assert "name uci-heart and version 1988/1 are those of the built-in table" in capsys.readouterr().err
    path.write_text(path.read_text("utf-8").replace("1988/1", "1988/2"), "utf-8")
    assert run("table", "check", path) == 0


def test_standard_input_is_checked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name in problems is a hyphen."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name = 1")))
    assert run("table", "check", "-") == BAD_DATA
    assert capsys.readouterr().err.endswith("heartstream: - has 4 problems\n")


@pytest.mark.parametrize("words", [("check", "none.toml"), ("init", "none.csv"), ("check", ".")])
def test_a_file_that_cannot_be_read_is_unavailable(words: tuple[str, ...], tmp_path: Path) -> None:
    """For both commands."""
    assert run("table", words[0], tmp_path / words[1]) == UNAVAILABLE


def test_a_draft_passes_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is; its name is the file's, and an existing file is only replaced if that is asked for."""
    data, table = tmp_path / "2 My Clinic (new).csv.gz", tmp_path / "table.toml"
    data = data.with_suffix("")
    data.write_text(PATIENTS)
    assert run("table", "init", data, "--outcome", "died", "-o", table) == 0
    assert "heartstream: 2 fields, 1 column(s) left out; " in capsys.readouterr().err
    assert run("table", "check", table) == 0
    found = capsys.readouterr().out
    assert "table      my-clinic-new 1: my-clinic-new\n" in found
    assert "to do      " in found
    assert run("table", "init", data, "-o", table) == BAD_SETTINGS
    assert run("table", "init", data, "-o", table, "--force", "--name", "other") == 0
    assert 'name = "other"' in table.read_text()


def test_a_draft_goes_to_standard_output_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the data may come from standard input."""
    (tmp_path / "in.csv").write_text(PATIENTS)
    with (tmp_path / "in.csv").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert run("table", "init", "-") == 0
    draft = capsys.readouterr().out
    (tmp_path / "t.toml").write_text(draft)
    assert run("table", "check", tmp_path / "t.toml") == 0
    assert draft.startswith("# Drafted by heartstream table init from 60 rows of standard input.\n")
    assert 'name = "my-table"' in draft


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--name", "My Table"), BAD_SETTINGS), (("--outcome", "none"), BAD_DATA), (("--decimal", ";"), BAD_SETTINGS)],
)
def test_a_refused_draft_writes_nothing(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    """With the exit code of the reason."""
    data, table = tmp_path / "in.csv", tmp_path / "table.toml"
    data.write_text(PATIENTS)
    assert (run("table", "init", data, *words, "-o", table), table.exists()) == (code, False)
