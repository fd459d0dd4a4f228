"""The drift reference of a training run counts every training patient once and is deterministic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from scoring.drift_reference import RISK_EDGES, Reference
from scoring.model_artifact import load
from tests.support.uci import FEATURES, UCI
from training.data.frames import features
from training.evaluation.cross_validation import CrossValidation
from training.export.drift_reference import as_json, new_reference


def test_every_patient_is_counted_once_in_each_field(cleveland: pd.DataFrame, model_dir: Path) -> None:
    """Measured and missing values add up to the 303 patients, in the loaded directory."""
    reference = load(model_dir).reference
    assert reference is not None
    assert {sum(field.measured.counts) + field.missing for field in reference.fields.values()} == {303}
    missing = np.isnan(features(cleveland)).sum(axis=0).tolist()
    assert [reference.fields[feature.name].missing for feature in FEATURES] == missing


def test_each_code_has_its_own_bin(cleveland: pd.DataFrame, model_dir: Path) -> None:
    """The counts are the numbers of patients with each code, in the table's order."""
    reference = load(model_dir).reference
    assert reference is not None
    for feature in FEATURES:
        if feature.codes:
            expected = tuple(int((cleveland[feature.name] == code).sum()) for code, _ in feature.codes)
            assert reference.fields[feature.name].measured.counts == expected


def test_the_bins_of_a_quantity_hold_about_a_tenth_each(model_dir: Path) -> None:
    """Ten bins for age and cholesterol; fewer and larger ones if many values are equal."""
    reference = load(model_dir).reference
    assert reference is not None
    bins = {name: reference.fields[name].measured.counts for name in ("age", "chol", "oldpeak")}
    assert [len(bins["age"]), len(bins["chol"])] == [10, 10]
    assert max(*bins["age"], *bins["chol"]) < 45
    assert bins["oldpeak"][0] == 99


def test_risks_are_out_of_fold(model_dir: Path, evaluations: dict[str, CrossValidation]) -> None:
    """Each model's histogram is that of risks from folds that did not train on the patient."""
    reference = load(model_dir).reference
    assert reference is not None
    assert set(reference.risks) == set(evaluations)
    for name, evaluation in evaluations.items():
        lows, highs = (0.0, *RISK_EDGES), (*RISK_EDGES, 1.0)
        expected = [
            int(((evaluation.risks > low) & (evaluation.risks <= high)).sum())
            for low, high in zip(lows, highs, strict=True)
        ]
        assert list(reference.risks[name].counts) == expected


def test_the_same_training_gives_the_same_bytes(
    cleveland: pd.DataFrame, evaluations: dict[str, CrossValidation], model_dir: Path
) -> None:
    """They can be read again."""
    risks = {name: evaluation.risks for name, evaluation in evaluations.items()}
    written = as_json(new_reference(features(cleveland), UCI.table, risks))
    assert written == (model_dir / "reference.json").read_bytes()
    assert Reference.of_json(written, UCI.table.names) == load(model_dir).reference
