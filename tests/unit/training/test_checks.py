"""The corrupted copies of this data are recognized and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from schemas.errors import ArtifactError, DataError
from tests.support.public_copies import TO_KAGGLE, inverted, kaggle_coded
from tests.support.uci import UCI
from training.candidates import new_pipeline, new_random_forest
from training.data.checks import certain_duplicates, check_training_rows
from training.data.frames import features, site_rows, target
from training.data.labelled import read_labelled
from training.evaluation.cross_validation import cross_validate
from training.evaluation.leakage import refuse_implausible
from training.evaluation.metrics import roc_auc


def test_published_training_rows_pass(cleveland: pd.DataFrame) -> None:
    """UCI's Cleveland rows are accepted."""
    assert check_training_rows(cleveland, UCI) is None


def test_foreign_codes_are_refused(cleveland: pd.DataFrame) -> None:
    """Rows in another coding are counted and the codings named, although most of their codes are valid."""
    with pytest.raises(DataError, match=r"268 of 303 rows hold values of another coding .* several: kaggle-303, "):
        check_training_rows(kaggle_coded(cleveland), UCI)


@pytest.mark.parametrize("name", sorted(TO_KAGGLE.keys() - {"restecg"}))
def test_one_foreign_field_is_enough(cleveland: pd.DataFrame, name: str) -> None:
    """Each field with a code that UCI does not have reveals the copy alone, unless such codes are rare."""
    with pytest.raises(DataError, match="another coding" if name != "ca" else "does not allow"):
        check_training_rows(cleveland.assign(**{name: cleveland[name].map(TO_KAGGLE[name])}), UCI)


def test_inverted_target_is_refused(cleveland: pd.DataFrame) -> None:
    """UCI codes with Kaggle's target are detected by chest pain: type 4 has more disease than type 2."""
    with pytest.raises(DataError, match=r"target looks inverted, as in the Kaggle copy: 27% .* 82%"):
        check_training_rows(inverted(cleveland), UCI)


def test_kaggles_1025_rows_are_named(cleveland: pd.DataFrame) -> None:
    """The popular copy is refused even after its codes and target were corrected."""
    copy = pd.concat([cleveland.iloc[:302]] * 4).iloc[:1025]
    with pytest.raises(DataError, match="only 302 of 1025 rows are distinct; this is the Kaggle copy"):
        check_training_rows(copy, UCI)


def test_every_reason_is_reported(cleveland: pd.DataFrame) -> None:
    """An invalid value, an inverted target and repeated rows are reported together."""
    spoilt = pd.concat([inverted(cleveland), inverted(cleveland.iloc[:20])])
    spoilt["chol"] = np.where(spoilt["chol"] == 564, 5000, spoilt["chol"])
    with pytest.raises(DataError, match=r"does not allow; the target looks inverted.*; only 303 of 323 rows"):
        check_training_rows(spoilt, UCI)


@pytest.mark.parametrize("repeated", [1, 15, 16, 17])
def test_few_repeated_patients_are_accepted(cleveland: pd.DataFrame, repeated: int, tmp_path: Path) -> None:
    """Up to 5% of the rows, as in UCI's own files, here and in `read_labelled`; more is a corrupted copy."""
    rows = pd.concat([cleveland, cleveland.iloc[:repeated]])
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    messages = []
    for judged in (lambda: check_training_rows(rows, UCI), lambda: read_labelled(path, UCI)):
        try:
            judged()
        except DataError as error:
            messages.append(f"only 303 of {303 + repeated} rows are distinct" in str(error))
    assert messages == ([True, True] if repeated > 0.05 * (303 + repeated) else [])


def test_rows_that_may_be_two_patients_are_not_called_repeated(everyone: pd.DataFrame) -> None:
    """Long Beach has one repeated row; rows that agree only without chol may be two people."""
    rows = site_rows(everyone, "va")
    assert certain_duplicates(features(rows), target(rows), UCI.table).sum() == 1
    blank = pd.concat([rows.assign(chol=np.nan)] * 2)
    assert not certain_duplicates(features(blank), target(blank), UCI.table).any()


def test_impossible_value_is_refused(cleveland: pd.DataFrame) -> None:
    """A value outside the feature table stops the run; the error counts it without showing it."""
    with pytest.raises(DataError) as caught:
        check_training_rows(cleveland.assign(chol=np.where(cleveland.index == 7, 5000, cleveland["chol"])), UCI)
    assert str(caught.value) == "1 of 303 rows hold a value that the feature table does not allow"


@pytest.mark.parametrize("num", [0, 2])
def test_a_single_outcome_is_reported(cleveland: pd.DataFrame, num: int) -> None:
    """Not as an inverted target: nothing can be learned from such rows."""
    with pytest.raises(DataError) as caught:
        check_training_rows(cleveland.assign(num=num), UCI)
    found = "with disease" if num else "without disease"
    assert str(caught.value) == f"all 303 patients have the same outcome ({found}): nothing can be learned from them"


def test_too_few_patients_are_refused_with_the_minimum(cleveland: pd.DataFrame) -> None:
    """25 of either outcome are enough, 24 are not."""
    ill, healthy = cleveland[cleveland["num"] > 0], cleveland[cleveland["num"] == 0]
    assert check_training_rows(pd.concat([ill.iloc[:25], healthy]), UCI) is None
    refused = r"24 patients with disease and 164 without are too few.* 25 of either .* about 19.. patients"
    with pytest.raises(DataError, match=refused):
        check_training_rows(pd.concat([ill.iloc[:24], healthy]), UCI)


def test_missing_required_fields_are_reported(cleveland: pd.DataFrame) -> None:
    """Rows without them are counted, and not called invalid."""
    with pytest.raises(DataError) as caught:
        check_training_rows(cleveland.assign(sex=np.where(cleveland.index < 12, np.nan, cleveland["sex"])), UCI)
    assert str(caught.value) == "12 of 303 rows lack one of age, sex, cp, which every patient must have"


@pytest.mark.parametrize("site", ["hungarian", "va"])
def test_other_hospitals_may_be_trained_on(everyone: pd.DataFrame, site: str) -> None:
    """Subsets of their patients too: chance does not make a target look inverted."""
    rows = site_rows(everyone, site)
    assert check_training_rows(rows, UCI) is None
    for seed in range(20):
        assert check_training_rows(rows.sample(frac=0.7, random_state=seed), UCI) is None


def test_repeated_rows_raise_the_leakage_alarm(cleveland: pd.DataFrame) -> None:
    """With every patient three times a forest looks nearly perfect, and is refused."""
    tripled = pd.concat([cleveland] * 3)
    found = cross_validate(
        "forest",
        new_pipeline(new_random_forest(UCI, 42), UCI),
        features(tripled),
        target(tripled),
        seed=42,
        threshold=0.5,
    )
    with pytest.raises(ArtifactError, match="forest is too good to be true"):
        refuse_implausible(
            "forest",
            found.metrics["roc_auc"].mean,
            found.metrics["accuracy"].mean,
            target(tripled),
            UCI.table.plausible,
        )


@pytest.mark.parametrize(("roc_auc", "accuracy"), [(0.951, 0.85), (0.91, 0.921)])
def test_either_metric_raises_the_leakage_alarm(roc_auc: float, accuracy: float, cleveland: pd.DataFrame) -> None:
    """ROC-AUC above 0.95 or accuracy above 0.92 is more than this data allows."""
    with pytest.raises(ArtifactError, match="too good to be true"):
        refuse_implausible("model", roc_auc, accuracy, target(cleveland), UCI.table.plausible)


def test_the_limits_themselves_pass(cleveland: pd.DataFrame) -> None:
    """Except for rounding."""
    assert refuse_implausible("model", 0.95 - 1e-9, 0.92 - 1e-9, target(cleveland), UCI.table.plausible) is None


def test_chance_rarely_raises_the_alarm_among_few_patients() -> None:
    """At the best honest ROC-AUC of 0.91, 25 of either outcome pass in all but 2 of 100 cases."""
    chance, refused = np.random.default_rng(11), 0
    labels = np.repeat([0, 1], 25)
    for _ in range(1000):
        # Two normal distributions 1.9 apart have a ROC-AUC of 0.91; half way between them 0.83 are told apart.
        odds = chance.normal(1.9 * labels, 1.0)
        accuracy = float(((odds > 0.95) == labels).mean())
        area = float(roc_auc(labels, odds, np.ones((1, 50)))[0])
        try:
            refuse_implausible("model", area, accuracy, labels, UCI.table.plausible)
        except ArtifactError:
            refused += 1
    assert refused < 20


def test_the_accuracy_limit_depends_on_the_prevalence() -> None:
    """If 95 of 100 are ill, always saying so is right in 95%; a perfect score is still refused."""
    labels = np.repeat([0, 1], [25, 475])
    assert refuse_implausible("model", 0.8, 0.955, labels, UCI.table.plausible) is None
    with pytest.raises(ArtifactError):
        refuse_implausible("model", 1.0, 1.0, labels, UCI.table.plausible)
