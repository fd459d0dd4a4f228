"""Evaluating a saved model on other patients reports what can be estimated and nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from schemas.errors import ArtifactError
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.uci import UCI
from training.data.frames import digest, features, site_rows, target
from training.data.labelled import LabelledData
from training.evaluation.external_validation import ExternalValidation, training_patients, validate_externally
from training.evaluation.label_sets import label_set_coverage
from training.evaluation.metrics import performance
from training.evaluation.subgroups import patient_groups


@pytest.fixture(scope="module")
def found(model_dir: Path, everyone: pd.DataFrame) -> ExternalValidation:
    """The evaluation on all patients."""
    return validate_externally(model_dir, None, LabelledData(everyone, "digest"))


def test_metrics_are_those_of_the_served_risks(
    found: ExternalValidation, model_dir: Path, everyone: pd.DataFrame
) -> None:
    """Overall, of a group, of a hospital and of a pattern: each uses the scorer's risks of its patients."""
    matrix, labels = features(everyone), target(everyone)
    risks = Scorer.from_directory(model_dir).risks(matrix)
    parts = {
        "all": (found.overall, np.ones(920, dtype=bool)),
        "women": (found.groups["women"], patient_groups(matrix, UCI.table)["women"]),
        "va": (found.sites["va"], (everyone["site"] == "va").to_numpy()),
        "complete": (found.patterns["complete"], ~np.isnan(matrix).any(axis=1)),
    }
    for name, (part, who) in parts.items():
        expected = performance(labels[who], risks[who], 0.5, np.ones((1, who.sum())))
        assert (name, part.patients, part.events) == (name, who.sum(), labels[who].sum())
        assert {figure: part.figures[figure].value for figure in part.figures} == pytest.approx(
            {figure: expected.figures[figure].value for figure in expected.figures}
        )


def test_label_set_coverage_uses_the_served_limits(
    found: ExternalValidation, model_dir: Path, everyone: pd.DataFrame
) -> None:
    """It is the coverage of the limits that the model serves."""
    scorer, matrix = Scorer.from_directory(model_dir), features(everyone)
    assert found.coverage == label_set_coverage(
        matrix, target(everyone), scorer.risks(matrix), scorer.uncertainty.label_limits, UCI
    )
    assert found.coverage is not None


def test_training_patients_are_counted(found: ExternalValidation, model_dir: Path, everyone: pd.DataFrame) -> None:
    """In any order; a patient who occurs twice in another hospital is not one of them."""
    assert found.trained_on == 303
    some = site_rows(everyone, "cleveland").sample(50, random_state=1)
    assert validate_externally(model_dir, None, LabelledData(some, "")).trained_on == 50
    assert validate_externally(model_dir, None, LabelledData(site_rows(everyone, "va"), "")).trained_on == 0


def test_training_patients_are_known_by_a_file_with_repeated_rows(model_dir: Path, everyone: pd.DataFrame) -> None:
    """Training left out the repeated rows, so the digest in the manifest is that of the others."""
    rows = site_rows(everyone, "hungarian").iloc[:100].drop_duplicates().reset_index(drop=True)
    complete = rows.dropna(subset=list(UCI.table.distinctive))
    data = msgspec.structs.replace(load(model_dir).manifest.data, sha256=digest(rows))
    manifest = msgspec.structs.replace(load(model_dir).manifest, data=data)
    found = training_patients(manifest, pd.concat([rows, complete.iloc[:7]], ignore_index=True), UCI.table)
    assert found is not None
    assert found.all()


def test_few_of_an_outcome_leave_prevalence_and_mean_risk(model_dir: Path, everyone: pd.DataFrame) -> None:
    """Metrics that depend on Switzerland's eight patients without disease are not reported; the others are."""
    swiss = validate_externally(model_dir, None, LabelledData(site_rows(everyone, "switzerland"), ""))
    assert (swiss.patients, swiss.events, swiss.share.value) == (123, 115, pytest.approx(115 / 123))
    assert swiss.share.low < swiss.share.value < swiss.share.high
    assert {"recall", "brier", "bias"} <= swiss.overall.figures.keys()
    assert {"specificity", "roc_auc", "slope"}.isdisjoint(swiss.overall.figures)
    assert (swiss.calibration, swiss.thresholds, swiss.sites) == ((), (), {})
    assert all(group.figures == {} for group in swiss.groups.values())
    assert swiss.coverage is not None
    assert swiss.coverage.without_disease is None


def test_a_single_outcome_has_counts_only(model_dir: Path, everyone: pd.DataFrame) -> None:
    """So do very few patients."""
    ill = everyone[everyone["num"] > 0]
    for few in (ill, everyone.iloc[:12], everyone.iloc[:1]):
        result = validate_externally(model_dir, None, LabelledData(few, ""))
        assert (result.patients, result.overall.figures, result.thresholds) == (len(few), {}, ())


def test_the_document_is_deterministic(found: ExternalValidation, model_dir: Path, everyone: pd.DataFrame) -> None:
    """Random sampling has a fixed seed."""
    assert validate_externally(model_dir, None, LabelledData(everyone, "digest")).as_json() == found.as_json()


def test_the_most_frequent_patterns_come_first(found: ExternalValidation) -> None:
    """Six of them, by number of patients."""
    counts = [part.patients for part in found.patterns.values()]
    assert (len(counts), counts) == (6, sorted(counts, reverse=True))
    assert list(found.patterns)[:2] == ["complete", "slope+ca+thal"]


def test_another_model_of_the_directory_can_be_evaluated(model_dir: Path, everyone: pd.DataFrame) -> None:
    """By name; an unknown one is refused. A forest has label sets for complete records only."""
    data = LabelledData(everyone, "")
    forest = validate_externally(model_dir, "random_forest", data)
    assert forest.model == "random_forest"
    assert forest.coverage is not None
    assert forest.coverage.patients == forest.patterns["complete"].patients
    with pytest.raises(ArtifactError):
        validate_externally(model_dir, "no_such_model", data)
