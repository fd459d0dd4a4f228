"""`heartstream model evidence` writes its documents, or refuses with an exit code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heartstream.cli.evidence import evidence
from scoring.model_artifact import REPORT_FILE
from tests.support.commands import refused
from tests.support.model_files import change_byte
from tests.support.signing_keys import Keys


def test_all_documents_are_written_by_default(
    model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has a row for each standard; one standard can be chosen, and an older document is replaced."""
    evidence(model_dir, output=tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["standard", "TRIPOD+AI", "PROBAST+AI", "CHAI", "HTI-1", "EU"]
    assert max(map(len, lines[:6])) <= 80
    assert len(list((tmp_path / "out").iterdir())) == 11
    (tmp_path / "out" / "hti-1.md").write_text("old")
    evidence(model_dir, standard="hti-1", output=tmp_path / "out")
    assert (tmp_path / "out" / "hti-1.md").read_text("utf-8").startswith("# HTI-1 source attributes: ")
    assert lines[-1].startswith(capsys.readouterr().out.splitlines()[-1].partition(":")[0])


def test_refusals_have_exit_codes(
    model_dir: Path, tmp_path: Path, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged or unsigned model, wrong statements, files that cannot be read; nothing is written."""
    out, said, damaged = tmp_path / "out", tmp_path / "said.toml", tmp_path / "model"
    said.write_text("unheard = 'of'\n")
    shutil.copytree(model_dir, damaged)
    change_byte(damaged / REPORT_FILE)
    assert f"{REPORT_FILE}: has" in refused(capsys, evidence, damaged, output=out)
    assert "is not signed" in refused(capsys, evidence, model_dir, output=out, public_key=keys.public)
    assert "unknown key unheard" in refused(capsys, evidence, model_dir, output=out, statements=said)
    assert "No such file" in refused(capsys, evidence, model_dir, code=69, output=out, statements=tmp_path / "none")
    assert not out.exists()
