"""The spoilt copies of this data are refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from schemas.errors import ArtifactError, DataError
from training.data import features, target
from training.estimators import new_pipeline, new_random_forest
from training.evaluate import evaluate
from training.guards import check_rows, refuse_too_good

TO_KAGGLE = {
    "cp": {4: 0, 2: 1, 3: 2, 1: 3},
    "restecg": {2: 0, 0: 1, 1: 2},
    "slope": {3: 0, 2: 1, 1: 2},
    "thal": {6: 1, 3: 2, 7: 3},
}


def inverted(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with disease where there was none, as in Kaggle's target."""
    return frame.assign(num=(frame["num"] == 0).astype(int))


def kaggle_coded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as Kaggle's heart.csv codes them."""
    coded = {name: frame[name].map(codes) for name, codes in TO_KAGGLE.items()}
    coded["thal"] = coded["thal"].fillna(0)
    return inverted(frame.assign(**coded, ca=frame["ca"].fillna(4)))


def test_published_training_rows_pass(cleveland: pd.DataFrame) -> None:
    """UCI's Cleveland rows are what the guards are there to let through."""
    assert check_rows(cleveland) is None


def test_kaggle_codes_are_refused(cleveland: pd.DataFrame) -> None:
    """Rows in Kaggle's coding are counted and named, though most of their codes are legal."""
    with pytest.raises(DataError, match=r"of 303 rows hold codes of the Kaggle copy .* inverts the target"):
        check_rows(kaggle_coded(cleveland))


@pytest.mark.parametrize("name", sorted(TO_KAGGLE.keys() - {"restecg"}))
def test_one_foreign_field_is_enough(cleveland: pd.DataFrame, name: str) -> None:
    """Each field whose Kaggle codes are not all UCI codes gives the copy away alone."""
    with pytest.raises(DataError, match="Kaggle"):
        check_rows(cleveland.assign(**{name: cleveland[name].map(TO_KAGGLE[name])}))


def test_inverted_target_is_refused(cleveland: pd.DataFrame) -> None:
    """UCI codes with Kaggle's target are found by chest pain: type 4 has more disease than type 2."""
    with pytest.raises(DataError, match=r"target looks inverted, as in the Kaggle copy: 27% .* 82%"):
        check_rows(inverted(cleveland))


def test_kaggle_1025_is_named(cleveland: pd.DataFrame) -> None:
    """The popular copy of 1025 rows is refused even where its codes and target have been put right."""
    copy = pd.concat([cleveland.iloc[:302]] * 4).iloc[:1025]
    with pytest.raises(DataError, match="only 302 of 1025 rows are different; this is the Kaggle copy"):
        check_rows(copy)


def test_every_reason_is_told(cleveland: pd.DataFrame) -> None:
    """An illegal value, an inverted target and repeated rows hide none of each other."""
    spoilt = pd.concat([inverted(cleveland), inverted(cleveland.iloc[:2])])
    spoilt["chol"] = np.where(spoilt["chol"] == 564, 5000, spoilt["chol"])
    with pytest.raises(DataError, match=r"does not allow; the target looks inverted.*; only 303 of 305 rows"):
        check_rows(spoilt)


def test_one_repeated_patient_is_refused(cleveland: pd.DataFrame) -> None:
    """A single row that stands twice is enough, missing values compared as equal."""
    patient = cleveland[cleveland["ca"].isna()].iloc[:1]
    with pytest.raises(DataError, match="only 303 of 304 rows are different"):
        check_rows(pd.concat([cleveland, patient]))


def test_impossible_value_is_refused(cleveland: pd.DataFrame) -> None:
    """A value outside the feature table stops the run, and the error counts it without telling it."""
    with pytest.raises(DataError) as caught:
        check_rows(cleveland.assign(chol=np.where(cleveland.index == 7, 5000, cleveland["chol"])))
    assert str(caught.value) == "1 of 303 rows hold a value that the feature table does not allow"


def test_rows_without_the_telling_chest_pain_are_refused(cleveland: pd.DataFrame) -> None:
    """Where the target cannot be checked, it is not trusted."""
    with pytest.raises(DataError, match="not UCI Heart Disease"):
        check_rows(cleveland[cleveland["cp"] != 4])


def test_repeated_rows_set_off_the_alarm(cleveland: pd.DataFrame) -> None:
    """With every patient three times, a forest looks nearly perfect, and that is refused."""
    tripled = pd.concat([cleveland] * 3)
    found = evaluate(
        "forest", new_pipeline(new_random_forest(42)), features(tripled), target(tripled), seed=42, threshold=0.5
    )
    with pytest.raises(ArtifactError, match="forest is too good to be true"):
        refuse_too_good("forest", found.metrics["roc_auc"].mean, found.metrics["accuracy"].mean)


@pytest.mark.parametrize(("roc_auc", "accuracy"), [(0.951, 0.85), (0.91, 0.921)])
def test_either_figure_sets_off_the_alarm(roc_auc: float, accuracy: float) -> None:
    """ROC-AUC above 0.95 or accuracy above 0.92 is more than this data allows."""
    with pytest.raises(ArtifactError, match="too good to be true"):
        refuse_too_good("model", roc_auc, accuracy)


def test_the_honest_ceiling_passes() -> None:
    """The limits themselves are allowed."""
    assert refuse_too_good("model", 0.95, 0.92) is None
