"""The description of the training patients is computed from their rows, or known by their digest."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, MANIFEST_FILE, REPORT_FILE
from tests.support.evaluation import inputs_of
from tests.support.uci import UCI
from training.data.dataset import SITES, file_name, published_file
from training.data.frames import (
    TRAINING_SITE,
    digest,
    drop_shared_rows,
    features,
    read_snapshot,
    read_uci,
    site_rows,
    target,
)
from training.data.labelled import LabelledData
from training.data.population import HOSPITALS, data_entry, describe_population, hospital_name, identify_hospital
from training.evaluation.external_validation import validate_externally
from training.evaluation.inputs import EvaluationInputs
from training.evaluation.other_hospitals import (
    evaluate_other_hospitals,
    hospital_names,
    leave_one_hospital_out,
    shared_rows,
)
from training.pipeline import TrainingRequest, TrainingResult, train

KNOWN_OF_OTHERS = (r"Cleveland", r"(?<![\w.])198[1-7](?!\w)", r"(?<![\w.])303(?!\w)", r"\b25 of 97\b", r"tested on")


@pytest.fixture(scope="session")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UCI's files with 199 of Long Beach's rows (one of them repeated there) as Cleveland's file."""
    folder = tmp_path_factory.mktemp("renamed")
    for site in SITES:
        (folder / file_name(site)).write_bytes(published_file(site))
    (folder / file_name(TRAINING_SITE)).write_bytes(
        b"".join(dict.fromkeys(published_file("va").splitlines(keepends=True)))
    )
    return folder


@pytest.fixture(scope="session")
def foreign(renamed: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A model of those rows."""
    output = tmp_path_factory.mktemp("foreign") / "model"
    return train(TrainingRequest(output, data=renamed, model_version="1.2.3", quick=True))


@pytest.fixture(scope="module")
def inputs(renamed: Path) -> EvaluationInputs:
    """The inputs of an evaluation of those rows and the other files."""
    return inputs_of(read_uci(renamed))


@pytest.mark.parametrize("file", [CARD_FILE, CARD_DATA_FILE, MANIFEST_FILE, REPORT_FILE])
@pytest.mark.parametrize("words", KNOWN_OF_OTHERS)
def test_other_rows_have_nothing_of_clevelands(words: str, file: str, foreign: TrainingResult) -> None:
    """Other rows in Cleveland's file get no sentence about Cleveland, its years or its counts."""
    assert re.findall(words, (foreign.folder / file).read_text("utf-8")) == []


def test_other_rows_are_described_by_what_they_show(foreign: TrainingResult, renamed: Path) -> None:
    """Rows, digest, ages, women, disease and missing fields; who they are is not claimed."""
    rows = read_uci(renamed, (TRAINING_SITE,))
    youngest, oldest = rows["age"].min(), rows["age"].max()
    page, women = (foreign.folder / CARD_FILE).read_text("utf-8"), int((rows["sex"] == 0).sum())
    missing = rows.isna().sum()
    for text in (
        f"trained on {len(rows)} patients of processed.cleveland.data (who they are is not recorded)",
        f"{len(rows)} patients, {(rows['num'] > 0).sum()} with disease ({(rows['num'] > 0).mean():.0%})",
        digest(rows),
        "the owner of the data should add it",
        (
            f"The training patients are {youngest:g} to {oldest:g} years old; {women} of {len(rows)} "
            f"({women / len(rows):.0%}) are women"
        ),
        (
            f"slope ({missing['slope']} of {len(rows)}), ca ({missing['ca']} of {len(rows)}) and thal "
            f"({missing['thal']} of {len(rows)})"
        ),
        f"All {len(rows)} rows are also in the file of Long Beach VA",
    ):
        assert text in page


@pytest.mark.parametrize("site", SITES)
def test_digest_identifies_a_hospital_under_any_name(site: str) -> None:
    """A hospital's rows are identified in any file; with one row less they are not."""
    rows = read_snapshot((site,)).assign(site=TRAINING_SITE)
    assert (identify_hospital(rows), hospital_name(rows, TRAINING_SITE, UCI.table)) == (site, HOSPITALS[site].name)
    assert (
        data_entry(rows, UCI.table, "processed.cleveland.data").population == f"{len(rows)} {HOSPITALS[site].patients}"
    )
    assert (identify_hospital(rows[1:]), hospital_name(rows[1:], TRAINING_SITE, UCI.table)) == (
        None,
        file_name(TRAINING_SITE),
    )
    assert data_entry(rows[1:], UCI.table, "processed.cleveland.data").population == (
        f"{len(rows) - 1} patients of processed.cleveland.data (who they are is not recorded)"
    )


def test_rows_are_counted_by_code_and_missing_fields(cleveland: pd.DataFrame) -> None:
    """And by the files that contain them."""
    found = describe_population(cleveland, UCI.table)
    ill = cleveland["num"] > 0
    for code in (1, 2, 3, 4):
        who = cleveland["cp"] == code
        assert (found.codes["cp"][str(code)].patients, found.codes["cp"][str(code)].events) == (
            who.sum(),
            (who & ill).sum(),
        )
    assert found.incomplete == cleveland[list(found.missing)].isna().any(axis=1).sum()
    assert found.also_in == {"cleveland": len(cleveland)}


def test_patient_is_never_trained_on_and_tested(inputs: EvaluationInputs, everyone: pd.DataFrame) -> None:
    """A hospital whose rows are the training rows under another name is not an external hospital, and is counted."""
    assert shared_rows(inputs) == {"va": int((everyone["site"] == "va").sum())}
    assert set(evaluate_other_hospitals(inputs, "pattern_submodels")) == {"hungarian", "switzerland"}
    assert set(leave_one_hospital_out(inputs)) == {"cleveland", "hungarian", "switzerland"}
    assert hospital_names(inputs)[TRAINING_SITE] == "processed.cleveland.data"


def test_only_shared_rows_are_dropped(everyone: pd.DataFrame) -> None:
    """The other rows of such a hospital stay; the shipped files share none."""
    assert drop_shared_rows(everyone).equals(everyone)
    some = site_rows(everyone, "hungarian")[:50].assign(site=TRAINING_SITE)
    kept = drop_shared_rows(pd.concat([some, everyone[everyone["site"] != TRAINING_SITE]], ignore_index=True))
    counts = kept["site"].value_counts()
    assert (counts[TRAINING_SITE], counts["hungarian"], counts["va"]) == (50, 294 - 50, 200)


def test_groups_of_other_hospitals_are_counted(everyone: pd.DataFrame) -> None:
    """Sensitivity and specificity of a group are counts of its patients, however few there are."""
    inputs = inputs_of(everyone)
    pipeline = inputs.pipelines["pattern_submodels"].fit(inputs.matrix, inputs.labels)
    for site, found in evaluate_other_hospitals(inputs, "pattern_submodels").items():
        rows = site_rows(everyone, site)
        pain, ill = (rows["cp"] != 4).to_numpy(), target(rows) == 1  # asymptomatic
        said = pipeline.predict_proba(features(rows))[:, 1] >= 0.5
        group = found.groups["other chest pain (cp 1 to 3)"]
        assert (group.patients, group.events) == (pain.sum(), (pain & ill).sum())
        assert group.figures["recall"].value * group.events == pytest.approx((said & pain & ill).sum())
        assert group.figures["specificity"].value * (group.patients - group.events) == pytest.approx(
            (~said & pain & ~ill).sum()
        )


def test_training_rows_are_recognized_in_an_evaluation(foreign: TrainingResult, renamed: Path) -> None:
    """Whoever the patients are."""
    rows = read_uci(renamed, (TRAINING_SITE,)).assign(site="elsewhere")
    assert validate_externally(foreign.folder, None, LabelledData(rows, "")).trained_on == len(rows)
    assert validate_externally(foreign.folder, None, LabelledData(rows[:150], "")).trained_on is None
