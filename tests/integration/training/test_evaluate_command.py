"""`heartstream evaluate` measures a saved model on other patients, and says what cannot be told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heartstream.evaluate_command import evaluate
from scoring.scorer import Scorer
from training.data import features, read_snapshot, target
from training.run import TrainingReport
from training.uci import file_name, published


def file_of(site: str, folder: Path) -> Path:
    path = folder / file_name(site)
    path.write_bytes(published(site))
    return path


def test_figures_are_those_of_the_served_risks(
    report: TrainingReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracy and Brier in the JSON are computed from what the scorer gives these patients; the table shows them."""
    evaluate(report.folder, file_of("va", tmp_path), json=tmp_path / "va.json")
    rows = read_snapshot(("va",))
    risks, labels = Scorer.from_directory(report.folder).risks(features(rows)), target(rows)
    found = json.loads((tmp_path / "va.json").read_bytes())
    assert (found["patients"], found["events"]) == (200, 149)
    figures = found["overall"]["figures"]
    assert figures["accuracy"]["value"] == pytest.approx(((risks >= 0.5) == labels).mean())
    assert figures["brier"]["value"] == pytest.approx(np.square(risks - labels).mean())
    out = capsys.readouterr().out
    assert f"{figures['accuracy']['value']:.2f} ({figures['accuracy']['low']:.2f} to" in out
    assert found["groups"]["women"]["figures"] == {}
    assert "not estimable" in out


def test_too_few_of_an_outcome_are_said_so(
    report: TrainingReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Switzerland has eight patients without disease: no figure is told."""
    evaluate(report.folder, file_of("switzerland", tmp_path))
    out = capsys.readouterr().out
    assert "123 patients, 115 with disease" in out
    assert "nothing can be said" in out
    assert "ROC-AUC" not in out


def test_spoilt_data_and_absent_model_have_their_exit_codes(
    report: TrainingReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """69 for data that must not be used, 65 for a model that is none; nothing is written."""
    spoilt = tmp_path / "heart.csv"
    spoilt.write_text("age,sex\n1,1\n", "utf-8")
    codes = []
    for model, data in ((report.folder, spoilt), (tmp_path / "none", file_of("va", tmp_path))):
        with pytest.raises(SystemExit) as caught:
            evaluate(model, data, json=tmp_path / "out.json")
        codes.append(caught.value.code)
    assert codes == [69, 65]
    assert not (tmp_path / "out.json").exists()
    assert "column cp is missing" in capsys.readouterr().err
