"""Training, evaluation and the whole stream with other people's patients and tables, on three public cohorts."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from schemas.errors import DataError
from scoring.scorer import Scorer
from tests.support.cohorts import COHORTS, FLCHAIN, WDBC, WHAS500, Cohort, with_cohorts
from tests.support.other_tables import FOLDER
from tests.support.uci import UCI
from training.data.frames import features, read_snapshot, site_rows
from training.data.labelled import LabelColumns
from training.pipeline import OwnPatients, TrainingRequest, TrainingResult, load_patients

pytestmark = pytest.mark.timeout(1_200)
"""The first test of a cohort trains it, and 7,679 patients take minutes on a machine with other load."""
HEARTSTREAM: Final = str(Path(sys.executable).with_name("heartstream"))
each_cohort = pytest.mark.parametrize(
    "cohort",
    [pytest.param(WHAS500, marks=with_cohorts), pytest.param(FLCHAIN, marks=with_cohorts), WDBC],
    ids=lambda cohort: cohort.name,
)


@pytest.fixture
def result(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return cohort.trained(tmp_path_factory)


@each_cohort
def test_the_report_is_plausible_beside_a_plain_regression(cohort: Cohort, result: TrainingResult) -> None:
    """Patients and events are all there but duplicates, and the best model is as good as the published figures."""
    data = result.manifest.data
    assert (data.rows + result.duplicates, data.positives) == (cohort.patients, cohort.events)
    best = next(each for each in result.cross_validations if each.name == result.selection.best)
    assert best.metrics["roc_auc"].mean == pytest.approx(cohort.roc_auc, abs=0.02)
    assert best.metrics["brier"].mean == pytest.approx(cohort.brier, abs=0.006)


@each_cohort
def test_the_card_speaks_of_these_patients_alone(cohort: Cohort, result: TrainingResult) -> None:
    """It has the table's words for patients and outcome, and no sentence about UCI's."""
    card = (result.folder / "model-card.md").read_text()
    assert result.table.population.who in card
    assert f"patients, {cohort.events} with {result.table.outcome.event} (" in card
    assert not re.findall(r"(?i)\b(cleveland|angiogra\w+|chest pain|uci|kaggle|thal|with(out)? disease)\b", card)


@each_cohort
def test_every_model_is_compiled_and_scores_like_scikit_learn(result: TrainingResult) -> None:
    """No model needs the fallback; risks, intervals, reasons and the names of missing fields are there."""
    for name in result.manifest.models:
        scorer = Scorer.from_directory(result.folder, name)
        assert (scorer.fallback_reason, scorer.engine in {"linear", "onnx"}) == (None, True)
        assert scorer.compiled.table.digest == result.table.digest
    linear = Scorer.from_directory(result.folder, "logistic_regression")
    found = linear.explain(linear.compiled.reference_cases)
    assert found.contributions is not None
    assert found.contributions.shape == (1024, len(result.table.features))


@each_cohort
def test_the_stream_accounts_for_every_record(result: TrainingResult) -> None:
    """`heartstream demo` runs broker, worker and gateway with the model, with invalid records among the others."""
    run = subprocess.run(
        [HEARTSTREAM, "demo", "--model", str(result.folder), "--records", "300", "--rate", "300", "--bad-share", "0.2"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (run.returncode, "lost 0, repeated 0, wrong outcome 0" in run.stdout) == (0, True), run.stdout + run.stderr


@with_cohorts
@pytest.mark.parametrize("cohort", [FLCHAIN], ids=["flchain"])
def test_text_codes_are_scored_from_a_file(result: TrainingResult, tmp_path: Path) -> None:
    """A CSV of patients with F, M, no and yes is scored, and a number in place of a text is rejected."""
    with (COHORTS / "flchain.csv").open(encoding="utf-8") as source:
        rows = list(csv.reader(source))
    path, scores, errors = (tmp_path / name for name in ("patients.csv", "scores.ndjson", "errors.ndjson"))
    with path.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([row[:-1] for row in rows[:101]] + [["x", "70", "0", *rows[1][3:-1]]])
    options = ("-o", str(scores), "--errors", str(errors), "--model", str(result.folder))
    run = subprocess.run([HEARTSTREAM, "score", str(path), *options], capture_output=True, text=True, check=False)
    assert "100 scored, 1 rejected" in run.stderr, run.stderr
    (error,) = map(json.loads, errors.read_text().splitlines())
    assert [(each["code"], each["pointer"]) for each in error["errors"]] == [("impossible_code", "/sex")]


def own(path: Path, **columns: str) -> TrainingRequest:
    return TrainingRequest(path.parent / "model", patients=OwnPatients(path, UCI.table, LabelColumns(**columns)))


def written(path: Path, outcome: str = "num", **more: str) -> Path:
    """Write Cleveland's patients as a hospital would have them."""
    rows = site_rows(read_snapshot(("cleveland",)), "cleveland")
    frame = rows.drop(columns=["site", "num"]).assign(**{outcome: (rows["num"] > 0).astype(int)}, **more)
    frame.to_csv(path, index=False)
    return path


def test_the_built_in_table_trains_on_own_patients(tmp_path: Path) -> None:
    """The same fields of another hospital: all its rows train; outcome and hospital are in columns of its own."""
    path = written(tmp_path / "own.csv", "Diseased", Ward="north")
    found = load_patients(own(path, outcome="diseased", site="ward"))
    assert (found.training_site, {*found.frame["site"]}, found.file) == (None, {"north"}, "own.csv")
    assert (features(found.training_rows).shape, int(found.frame["num"].sum())) == ((303, 13), 139)


def test_a_missing_outcome_column_names_the_option(tmp_path: Path) -> None:
    """The columns that would do, and --outcome."""
    with pytest.raises(DataError, match=r"there is no column num or target .*: --outcome names another"):
        load_patients(own(written(tmp_path / "own.csv", "diseased")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mean_radius,target\n14.2,0\n", "it has no header, and 2 columns"),
        ("age,sex,cp,num\n", "chol is missing"),
    ],
)
def test_a_file_with_other_fields_leads_to_a_table(tmp_path: Path, text: str, reason: str) -> None:
    """What is missing for the built-in table, and the command that drafts another."""
    (path := tmp_path / "own.csv").write_text(text)
    with pytest.raises(DataError, match=f"{reason}.*--table own.toml, which heartstream table init"):
        load_patients(own(path))


def test_command_refuses_options_without_their_file(tmp_path: Path) -> None:
    """A table without patients would be ignored silently."""
    arguments = ("train", "--table", str(FOLDER / "wdbc.toml"), "--output", str(tmp_path / "model"))
    run = subprocess.run([HEARTSTREAM, *arguments], capture_output=True, text=True, check=False)
    assert (run.returncode, "need --data FILE" in run.stderr) == (78, True), run.stderr
