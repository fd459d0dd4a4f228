"""Cross-validation does not leak, and its results are where this data puts them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from tests.support.uci import FEATURE_NAMES, UCI
from training.candidates import LOGISTIC_REGRESSION, RANDOM_FOREST, new_logistic_regression, new_pipeline
from training.data.frames import features, site_rows, target
from training.evaluation.cross_validation import CrossValidation, cross_validate, fold_metrics, stratified_folds


@pytest.mark.parametrize(
    ("model", "metric", "low", "high"),
    [
        (LOGISTIC_REGRESSION, "roc_auc", 0.895, 0.925),
        (LOGISTIC_REGRESSION, "accuracy", 0.82, 0.87),
        (LOGISTIC_REGRESSION, "brier", 0.09, 0.125),
        (RANDOM_FOREST, "roc_auc", 0.885, 0.920),
        (RANDOM_FOREST, "accuracy", 0.80, 0.87),
        (RANDOM_FOREST, "brier", 0.09, 0.135),
    ],
)
def test_results_are_in_the_published_range(
    evaluations: dict[str, CrossValidation], model: str, metric: str, low: float, high: float
) -> None:
    """With seed 42 each metric is where independent work on these 303 patients found it."""
    assert low <= evaluations[model].metrics[metric].mean <= high


def test_logistic_regression_is_calibrated(evaluations: dict[str, CrossValidation]) -> None:
    """Its risks are neither much too extreme nor much too moderate."""
    assert 0.75 <= evaluations[LOGISTIC_REGRESSION].calibration_slope <= 1.3


def test_every_patient_is_tested_once(cleveland: pd.DataFrame) -> None:
    """The folds partition the rows, each with the overall prevalence."""
    labels = target(cleveland)
    folds = stratified_folds(labels, 42)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(303))
    assert all(abs(labels[test].mean() - labels.mean()) < 0.01 for _, test in folds)


def test_preprocessor_learns_nothing_from_tested_rows(cleveland: pd.DataFrame) -> None:
    """A changed patient changes risks in the other folds, and none in the same test fold."""
    labels, before = target(cleveland), features(cleveland)
    tested = stratified_folds(labels, 42)[0][1]
    after = before.copy()
    after[tested[0], FEATURE_NAMES.index("chol")] = 1000.0
    risks = [
        cross_validate(
            "lr", new_pipeline(new_logistic_regression(UCI, 42), UCI), matrix, labels, seed=42, threshold=0.5
        ).risks
        for matrix in (before, after)
    ]
    same = risks[0] == risks[1]
    assert same[tested[1:]].all()
    assert not same[np.setdiff1d(np.arange(303), tested)].any()


def test_shuffled_labels_cannot_be_learned(cleveland: pd.DataFrame) -> None:
    """With shuffled labels the mean ROC-AUC of twelve runs is that of a coin toss."""
    matrix, labels = features(cleveland), target(cleveland)
    aucs = []
    for seed in range(12):
        shuffled = np.random.default_rng(seed).permutation(labels)
        found = cross_validate(
            "lr", new_pipeline(new_logistic_regression(UCI, 42), UCI), matrix, shuffled, seed=42, threshold=0.5
        )
        aucs.append(found.metrics["roc_auc"].mean)
    assert abs(np.mean(aucs) - 0.5) <= 0.05


@pytest.mark.parametrize("seed", [42, 43, 44])
def test_missing_tests_do_not_hide_disease(cleveland: pd.DataFrame, seed: int) -> None:
    """Without ca, thal and slope the mean risk stays at the prevalence and most patients with disease are found."""
    matrix, labels = features(cleveland), target(cleveland)
    without = matrix.copy()
    without[:, [FEATURE_NAMES.index(name) for name in ("ca", "thal", "slope")]] = np.nan
    risks = np.empty(len(labels))
    for train, test in stratified_folds(labels, seed):
        fitted = new_pipeline(new_logistic_regression(UCI, 42), UCI).fit(matrix[train], labels[train])
        risks[test] = fitted.predict_proba(without[test])[:, 1]
    assert abs(risks.mean() - 0.459) <= 0.03
    assert recall_score(labels, risks >= 0.5) >= 0.68


def test_the_model_generalizes_to_other_hospitals(everyone: pd.DataFrame, cleveland: pd.DataFrame) -> None:
    """Trained in Cleveland it ranks Hungarian patients, and labels Long Beach's with most tests missing."""
    fitted = new_pipeline(new_logistic_regression(UCI, 42), UCI).fit(features(cleveland), target(cleveland))
    hungarian, va = (site_rows(everyone, site) for site in ("hungarian", "va"))
    assert roc_auc_score(target(hungarian), fitted.predict_proba(features(hungarian))[:, 1]) >= 0.86
    assert accuracy_score(target(va), fitted.predict(features(va))) >= 0.72


def test_threshold_decides_the_labels() -> None:
    """A risk at the threshold is positive; metrics without labels do not depend on it."""
    labels, risks = np.array([0, 1, 1, 0]), np.array([0.1, 0.3, 0.9, 0.6])
    low, high = fold_metrics(labels, risks, 0.3), fold_metrics(labels, risks, 0.95)
    assert (low["recall"], high["recall"], high["precision"]) == (1.0, 0.0, 0.0)
    assert [low[name] for name in ("roc_auc", "brier")] == [high[name] for name in ("roc_auc", "brier")]
