"""Fitted pipelines of other people become model directories that give scikit-learn's own risks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from heartstream.cli.model import check, sign
from schemas.codec import decode_score, encode_scores
from schemas.errors import ArtifactError
from schemas.tables.toml_file import read_table_file
from scoring.batches import JsonBatch
from scoring.compiled_table import CompiledTable
from scoring.features import Matrix
from scoring.isolated_load import verify_model
from scoring.model_artifact import CARD_FILE, load
from scoring.scorer import Scorer
from tests.support.importing import by_columns, fitted, imputed, patients, request_for, risks, saved
from tests.support.models import as_values
from tests.support.other_tables import FOLDER
from tests.support.own_classifier import ShareOfMeasured
from tests.support.signing_keys import Keys
from tests.support.uci import UCI
from training.data.frames import features, target
from training.data.labelled import read_labelled
from training.importing.importer import import_model

COHORTS: Final = Path(__file__).resolve().parents[4] / "shared" / "data" / "cohorts"
COMPILED: Final[dict[str, Callable[[], Any]]] = {
    "logistic regression": lambda: by_columns(LogisticRegression(max_iter=1000)),
    "forest": lambda: by_columns(RandomForestClassifier(50, random_state=0, n_jobs=-1)),
    "gradient boosting": lambda: by_columns(GradientBoostingClassifier(n_estimators=30, random_state=0)),
    "support vectors": lambda: by_columns(CalibratedClassifierCV(SVC(), ensemble=False)),
    "neighbours": lambda: imputed(KNeighborsClassifier()),
    "histogram-based boosting": lambda: HistGradientBoostingClassifier(random_state=0),
}
NOT_COMPILED: Final[dict[str, Callable[[], Any]]] = {
    "indicators": lambda: make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression(max_iter=5000)),
    "converted wrongly": lambda: CalibratedClassifierCV(imputed(LogisticRegression())),
}


def all_rows() -> Matrix:
    """Return Cleveland's patients, and the reference cases, in which any optional field is missing."""
    return np.concatenate([features(patients()), UCI.reference_cases])


@pytest.mark.parametrize("kind", COMPILED)
def test_a_compiled_pipeline_gives_the_risks_of_scikit_learn(kind: str, tmp_path: Path) -> None:
    """On all patients and reference cases, without unpickling; the directory passes its check."""
    estimator = fitted(COMPILED[kind]())
    assert import_model(request_for(saved(estimator, tmp_path))).reason is None
    scorer = Scorer.from_directory(tmp_path / "model")
    assert (scorer.engine, scorer.fallback_reason) == ("onnx", None)
    # The engine's tolerance, and the rounding to six decimals.
    assert np.abs(scorer.risks(all_rows()) - risks(estimator, all_rows())).max() <= 1.5e-6
    check(tmp_path / "model")


@pytest.mark.parametrize("kind", NOT_COMPILED)
def test_what_cannot_be_compiled_is_served_by_scikit_learn(kind: str, tmp_path: Path) -> None:
    """With its own risks, and the reason; also where skl2onnx gives something else without an error."""
    estimator = fitted(NOT_COMPILED[kind]())
    reason = import_model(request_for(saved(estimator, tmp_path))).reason
    assert reason is not None
    assert ("differ by" in reason) == (kind == "converted wrongly")
    scorer = Scorer.from_directory(tmp_path / "model")
    assert scorer.engine == "sklearn"
    assert np.array_equal(scorer.risks(all_rows()), np.round(risks(estimator, all_rows()), 6))


def test_a_model_of_scikit_learn_is_verified_only_if_it_is_signed(tmp_path: Path) -> None:
    """As for every pickle: `check`, `promote` and reloads open no unsigned one."""
    matrix, keys = features(patients()), Keys(tmp_path, "model")
    import_model(request_for(saved(ShareOfMeasured().fit(matrix, target(patients())), tmp_path)))
    with pytest.raises(ArtifactError, match="its pickles are not loaded"):
        verify_model(tmp_path / "model")
    sign(tmp_path / "model", key=keys.private)
    assert verify_model(tmp_path / "model", None, keys.public).engine == "sklearn"


def test_a_score_claims_nothing_that_is_not_known(tmp_path: Path) -> None:
    """No interval, label set, reason or sub-model, and not that a value was imputed: only what is missing."""
    import_model(request_for(saved(fitted(COMPILED["logistic regression"]()), tmp_path)))
    scorer = Scorer.from_directory(tmp_path / "model")
    row = features(patients())[:1]
    row[0, UCI.table.names.index("chol")] = np.nan
    (encoded,) = encode_scores(scorer.score(JsonBatch(as_values(row)).decode(scorer.compiled)).scores)
    score = decode_score(encoded)
    assert (score.interval, score.label_set, score.reasons, score.pattern, score.measure_next) == (None,) * 5
    assert (score.missing, score.warnings) == (("chol",), ())


def test_the_card_has_the_origin_and_what_is_not_known(tmp_path: Path) -> None:
    """Who made the file, as stated; whether the patients trained the model, only if it is stated."""
    file = saved(fitted(COMPILED["logistic regression"]()), tmp_path)
    import_model(request_for(file))
    card = (tmp_path / "model" / CARD_FILE).read_text()
    assert "made by A. Smith, as stated at the import" in card
    assert "303 patients, 139 with disease. **Whether they trained the model is not known" in card
    assert load(tmp_path / "model").reference.risks == {}  # type: ignore[union-attr]  # it has one
    import_model(request_for(file, held_out=True))
    assert "None of them trained the model, as stated" in (tmp_path / "model" / CARD_FILE).read_text()
    assert list(load(tmp_path / "model").reference.risks) == ["fitted"]  # type: ignore[union-attr]  # the same


def test_the_same_import_gives_the_same_bytes(tmp_path: Path) -> None:
    """No clock, path or random number."""
    file = saved(fitted(COMPILED["gradient boosting"]()), tmp_path)
    import_model(request_for(file))
    first = load(tmp_path / "model").sha256
    import_model(request_for(file))
    assert load(tmp_path / "model").sha256 == first


def test_the_positive_class_may_be_0(tmp_path: Path) -> None:
    """scikit-learn's copy of the Wisconsin data has 0 for a malignant tumour, and its column names are aliases."""
    frame = load_breast_cancer(as_frame=True).frame
    estimator = imputed(LogisticRegression()).fit(frame.drop(columns="target"), frame["target"])
    frame.to_csv(tmp_path / "wdbc.csv", index=False)
    table = read_table_file(FOLDER / "wdbc.toml")
    request = request_for(saved(estimator, tmp_path), data=tmp_path / "wdbc.csv", table=table)
    with pytest.raises(ArtifactError, match="calls 0 positive, the usual meaning of 1 is the opposite"):
        import_model(request)
    with pytest.raises(ArtifactError, match=r"get lower risks than those without \(ROC-AUC 0\.0"):
        import_model(msgspec.structs.replace(request, positive="1"))
    import_model(msgspec.structs.replace(request, positive="0"))
    matrix = frame.drop(columns="target").to_numpy()
    found = Scorer.from_directory(tmp_path / "model").risks(matrix)
    expected = estimator.predict_proba(frame.drop(columns="target"))[:, 0]
    assert np.abs(found - expected).max() <= 1.5e-6


@pytest.mark.skipif(not COHORTS.is_dir(), reason="the cohorts stand beside the repository only")
def test_texts_and_gaps_are_compiled(tmp_path: Path) -> None:
    """The free light chain cohort has texts for sex and MGUS, and lacks creatinine of some people."""
    frame, table = pd.read_csv(COHORTS / "flchain.csv"), read_table_file(FOLDER / "flchain.toml")
    labels = frame[table.outcome.column].map(table.outcome.classes)
    columns = [name for name in frame.columns if name in table.names]
    texts = [feature.name for feature in table.features if feature.labels]
    rest = [name for name in columns if name not in texts]
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), texts), (make_pipeline(SimpleImputer(), StandardScaler()), rest)
        ),
        LogisticRegression(),
    ).fit(frame[columns], labels)
    data = COHORTS / "flchain.csv"
    imported = import_model(request_for(saved(pipeline, tmp_path), data=data, table=table))
    assert (imported.reason, imported.evaluation.overall.figures["roc_auc"].value > 0.8) == (None, True)
    matrix = features(read_labelled(data, CompiledTable(table)).frame)
    found = Scorer.from_directory(tmp_path / "model").risks(matrix)
    assert np.abs(found - pipeline.predict_proba(frame[columns])[:, 1]).max() <= 1.5e-6
