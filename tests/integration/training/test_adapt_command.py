"""`heartstream adapt`, from the command line to a model that scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest

from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.public_copies import labelled
from tests.support.tehran import PUBLISHED, converted
from tests.support.uci import UCI
from training.candidates import LOCAL_INVERSE_PENALTY, new_logistic_regression, new_pipeline
from training.data.frames import features, read_snapshot, target
from training.data.labelled import read_labelled

HEARTSTREAM: Final = str(Path(sys.executable).with_name("heartstream"))


def adapted(
    model: Path, output: Path, *options: object, name: str = "pattern_submodels"
) -> subprocess.CompletedProcess[str]:
    words = ("adapt", str(model), "-o", str(output), "--name", name, *map(str, options))
    return subprocess.run([HEARTSTREAM, *words], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Budapest's patients from a source that records exercise without angina where UCI records angina."""
    rows = read_snapshot(["hungarian"])
    rows = rows.assign(exang=1 - rows["exang"], ill=(rows["num"] > 0).astype(int), ward="north")
    path = tmp_path_factory.mktemp("inverted") / "local.csv"
    rows.drop(columns=["site", "num"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def refitted(
    model_dir: Path, inverted: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    output = tmp_path_factory.mktemp("refit") / "adapted"
    options = ("--data", inverted, "--outcome", "ill", "--site", "ward", "--quick")
    return output, adapted(model_dir, output, *options, name="logistic_regression")


def test_a_reversed_field_is_a_failure_of_ranking(refitted: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The command says so, in 80 columns, and writes a refit."""
    folder, run = refitted
    assert run.returncode == 0, run.stderr
    assert "Ranking fails (ROC-AUC " in run.stdout
    assert f"refit: {folder} is logistic_regression test+refit." in " ".join(run.stdout.split())
    assert [line for line in run.stdout.splitlines() if len(line) > 80 and str(folder) not in line] == []
    assert "adapt: cross-validating each rung" in run.stderr
    done = json.loads((folder / "adaptation.json").read_bytes())["done"]
    assert [(each["rung"], each["patients"], each["events"], each["line"]) for each in done] == [
        ("refit", 294, 106, None)
    ]
    assert done[0]["after"]["roc_auc"] > done[0]["before"]["roc_auc"] + 0.03
    assert done[0]["after"]["brier"] < done[0]["before"]["brier"]


def test_a_refit_claims_only_what_its_patients_show(
    refitted: tuple[Path, subprocess.CompletedProcess[str]], model_dir: Path, inverted: Path
) -> None:
    """Risks, ranges, intervals, label sets and drift reference are those of the local patients; so is the card."""
    folder, _ = refitted
    scorer, artifact, base = Scorer.from_directory(folder), load(folder), load(model_dir)
    rows = pd.read_csv(inverted)
    matrix, labels = rows[list(UCI.table.names)].to_numpy(float), rows["ill"].to_numpy()
    expected = new_pipeline(new_logistic_regression(UCI, 0, LOCAL_INVERSE_PENALTY), UCI).fit(matrix, labels)
    assert scorer.engine == "linear"
    assert scorer.risks(matrix) == pytest.approx(expected.predict_proba(matrix)[:, 1], abs=1e-6)
    assert (artifact.manifest.data.rows, artifact.manifest.data.positives) == (294, 106)
    assert artifact.manifest.training_range["age"] == (rows["age"].min(), rows["age"].max())
    assert artifact.manifest.training_range["age"] != base.manifest.training_range["age"]
    assert artifact.reference is not None
    assert (artifact.reference.rows, [*artifact.reference.risks]) == (294, ["logistic_regression"])
    assert scorer.uncertainty.label_coverage[:, :, 0].sum() == 294
    card = artifact.cards["text/markdown"].decode()
    assert "fitted on the patients of the latest adaptation alone" in card
    assert "Cleveland" not in card
    assert base.model.digest in card


def test_a_refit_can_be_checked_and_explained(
    refitted: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """By the commands that serve any other model."""
    folder, _ = refitted
    record = tmp_path / "patient.json"
    record.write_text(json.dumps({"patient_id": "p-1", **UCI.table.example}))
    for words, shown in ((("model", "check", folder), "verified"), (("explain", record, "--model", folder), "Risk: ")):
        run = subprocess.run([HEARTSTREAM, *map(str, words)], capture_output=True, text=True, check=False)
        assert (run.returncode, shown in run.stdout) == (0, True), run.stderr


def test_keep_is_an_exit_code_and_json(model_dir: Path, tmp_path: Path) -> None:
    """Long Beach needs no change: nothing is written. One of its rows is repeated, and left out."""
    run = adapted(model_dir, tmp_path / "new", "--data", labelled("va", tmp_path), "--json")
    found: dict[str, Any] = json.loads(run.stdout)
    assert (run.returncode, found["decision"], found["written"]) == (1, "keep", None)
    assert [each["rung"] for each in found["rungs"]] == ["keep", "intercept", "slope", "refit"]
    assert (found["patients"], found["events"]) == (199, 148)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_done_is_refused(model_dir: Path, tmp_path: Path) -> None:
    """Too few for a refit, with the number; neither or both sources; a refit from topics."""
    data = labelled("switzerland", tmp_path)
    cases = [
        (("--data", data, "--up-to", "refit"), 65, "needs 25 patients of either outcome, there are 8"),
        ((), 78, "either labelled patients"),
        (("--data", data, "--outcomes"), 78, "either labelled patients"),
        (("--outcomes", "--up-to", "refit"), 78, "give --data FILE"),
    ]
    for options, code, reason in cases:
        run = adapted(model_dir, tmp_path / "new", *options)
        assert (run.returncode, reason in run.stderr) == (code, True), run.stderr


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="Tehran's patients stand beside the repository only")
def test_tehrans_model_is_refitted(model_dir: Path, tmp_path: Path) -> None:
    """As it is, it finds 18 of 100 patients with disease; the file shows both failures, and what a shift would give."""
    data = converted(PUBLISHED, tmp_path / "tehran.csv")
    run = adapted(model_dir, tmp_path / "new", "--data", data, "--quick")
    assert run.returncode == 0, run.stderr
    (done,) = json.loads((tmp_path / "new" / "adaptation.json").read_bytes())["done"]
    figures = {name: round(figure["value"], 2) for name, figure in done["validation"]["figures"].items()}
    assert (figures["roc_auc"], figures["brier"], figures["recall"]) == (0.73, 0.37, 0.18)
    rungs = {each["rung"]: each for each in done["rungs"]}
    assert rungs["intercept"]["brier"] == pytest.approx(0.18, abs=0.01)
    assert (rungs["refit"]["roc_auc"] > 0.89, rungs["refit"]["brier"] < 0.115) == (True, True)
    assert [finding.split(" ")[1] for finding in done["findings"][:2]] == ["fails", "fails:"]
    frame = read_labelled(data, UCI).frame
    assert Scorer.from_directory(tmp_path / "new").risks(features(frame)).mean() == pytest.approx(
        target(frame).mean(), abs=0.01
    )
