"""`heartstream evaluate` measures a saved model on other patients and says what cannot be estimated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heartstream.cli.evaluate import evaluate
from tests.support.uci import UCI
from training.data.dataset import file_name, published_file
from training.data.frames import read_snapshot
from training.data.labelled import read_labelled
from training.evaluation.external_validation import validate_externally
from training.pipeline import TrainingResult


def file_of(site: str, folder: Path) -> Path:
    path = folder / file_name(site)
    path.write_bytes(published_file(site))
    return path


def test_tables_and_json_have_the_results(
    report: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON has all results; the tables have the figures with their intervals, no line broken or cut."""
    data = file_of("va", tmp_path)
    evaluate(report.folder, data, json=tmp_path / "va.json")
    found = validate_externally(report.folder, None, read_labelled(data, UCI))
    assert (tmp_path / "va.json").read_bytes() == found.as_json()
    assert json.loads(found.as_json())["patients"] == 200
    out = capsys.readouterr().out
    assert "200 patients, 149 with disease: 0.74 (0.68 to 0.80), mean risk" in out
    for name, title in (("accuracy", "Accuracy"), ("brier", "Brier"), ("slope", "Calibration slope")):
        figure = found.overall.figures[name]
        (line,) = (line for line in out.splitlines() if line.startswith(f"{title}  "))
        assert line.split("  ")[-1].strip() == f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"
    assert f"{found.prevalence_brier:.2f}" in next(
        line for line in out.splitlines() if "predicting the prevalence" in line
    )
    assert found.groups["women"].figures == {}
    assert "not estimable" in next(line for line in out.splitlines() if line.startswith("women "))
    assert "trestbps+chol+thalach+exang+oldpeak+slope+ca+thal " in out
    assert "true label in the set" in out
    assert "trained on" not in out


def test_too_few_of_an_outcome_are_not_estimable(
    report: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Switzerland has eight patients without disease: what depends on them, and groups, are not reported."""
    evaluate(report.folder, file_of("switzerland", tmp_path))
    out = capsys.readouterr().out
    assert "123 patients, 115 with disease: 0.93 (0.88 to 0.97)" in out
    assert "too few to evaluate" in out
    for title in ("ROC-AUC", "Specificity", "Calibration slope"):
        assert "not estimable" in next(line for line in out.splitlines() if line.startswith(title))
    assert ("By group" in out, "mean risk  patients" in out) == (False, False)


def test_hospital_names_are_escaped(report: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names in the column `site` are text, neither markup nor control sequences."""
    rows = read_snapshot(("hungarian", "va"))
    rows["site"] = rows["site"].map({"hungarian": "[/bold] :heart:", "va": "Long\x1b[2JBeach"})
    rows.to_csv(tmp_path / "two.csv", index=False)
    evaluate(report.folder, tmp_path / "two.csv")
    out = capsys.readouterr().out
    assert ("\n[/bold] :heart: " in out, "\nLong\\x1b[2JBeach " in out, "\x1b" in out) == (True, True, False)


def test_training_patients_are_warned_about(
    report: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On its training rows a model looks too good; the command says so first."""
    evaluate(report.folder, file_of("cleveland", tmp_path))
    assert "trained on 303 of these patients" in capsys.readouterr().out


def test_each_failure_has_its_exit_code(
    report: TrainingResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """65 for refused data or a refused model, 69 for unreadable data or an unwritable result."""
    spoilt, va, written = tmp_path / "heart.csv", file_of("va", tmp_path), tmp_path / "out.json"
    spoilt.write_text("age,sex\n1,1\n", "utf-8")
    codes = []
    for model, data, document in (
        (report.folder, spoilt, written),
        (tmp_path / "none", va, written),
        (report.folder, tmp_path / "nowhere.csv", written),
        (report.folder, va, tmp_path / "no-such-folder" / "out.json"),
    ):
        with pytest.raises(SystemExit) as caught:
            evaluate(model, data, json=document)
        codes.append(caught.value.code)
    assert codes == [65, 65, 69, 69]
    assert not written.exists()
    told = capsys.readouterr().err
    assert "column cp is missing" in told
    assert "cannot write" in told


def test_help_has_an_example_and_imports_no_library() -> None:
    """Neither pandas nor scikit-learn is imported to show it."""
    script = (
        "import sys\nfrom heartstream.cli import app\n"
        "app(['evaluate', '--help'], exit_on_error=False, result_action='return_value')\n"
        "print([name for name in ('pandas', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Example: heartstream evaluate model processed.va.data" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
