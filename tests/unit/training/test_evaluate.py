"""The evaluation finds what is known of this data, does not leak, and is deterministic."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from schemas.errors import ArtifactError
from tests.support.uci import FEATURE_NAMES, FEATURES, GROUPS, PATTERNS, UCI, groups_of
from training.candidates import new_logistic_regression, new_pattern_submodels, new_pipeline
from training.data.frames import TRAINING_SITE, features, site_rows, target
from training.estimates import bootstrap_weights, wilson_interval
from training.evaluation.baseline import BASELINE, new_baseline_pipeline
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.curves import threshold_metrics
from training.evaluation.evaluate import evaluate_candidates
from training.evaluation.inputs import QUICK, EvaluationInputs
from training.evaluation.label_sets import label_set_coverage, nested_folds, nested_label_set_coverage
from training.evaluation.leakage import permuted_labels_roc_auc
from training.evaluation.learning_curve import learning_curve
from training.evaluation.measure_next import evaluate_measure_next
from training.evaluation.metrics import performance
from training.evaluation.repeated_cv import COMPLETE, delete_fields, gap_sets, repeated_cross_validation
from training.evaluation.results import EvaluationReport
from training.evaluation.stability import bootstrap_refits, instability, odds_ratios
from training.evaluation.uncertainty import label_limits, risks_by_pattern
from training.pipeline import TrainingResult
from training.report.sections.uci_heart import wider_groups
from training.sample_size import sample_size

GAP = "slope+ca+thal"


def test_report_is_reproducible(report: TrainingResult, everyone: pd.DataFrame, cleveland: pd.DataFrame) -> None:
    """A second evaluation of the same rows gives the same bytes, and they can be read back."""
    matrix, labels = features(cleveland), target(cleveland)
    inputs = EvaluationInputs(UCI, everyone, TRAINING_SITE, matrix, labels, report.manifest.data, 42, 0.5, QUICK)
    again = evaluate_candidates(inputs, report.cross_validations, lambda _step: None)
    assert again.as_json() == report.evaluation.as_json()
    assert msgspec.json.decode(again.as_json(), type=EvaluationReport).as_json() == again.as_json()


def test_best_model_is_sensitive_without_three_tests(report: TrainingResult) -> None:
    """Without slope, ca and thal its sensitivity is at least .68 without bias; the baseline has neither."""
    ours, usual = (report.evaluation.missing_fields[GAP][name].figures for name in (report.selection.best, BASELINE))
    assert ours["recall"].value >= 0.68
    assert abs(ours["bias"].value) <= 0.03
    assert (usual["recall"].value < 0.5, usual["bias"].value < -0.15) == (True, True)


def test_no_metric_is_implausibly_good(report: TrainingResult) -> None:
    """On complete records ROC-AUC and accuracy are below the alarms, and slopes in the known range."""
    for name, found in report.evaluation.missing_fields[COMPLETE].items():
        figures = found.figures
        assert 0.88 <= figures["roc_auc"].value <= 0.93
        assert 0.80 <= figures["accuracy"].value <= 0.88
        assert (0.75 <= figures["slope"].value <= 1.3) or name == "random_forest"


def test_odds_ratios_are_against_the_average_patient(cleveland: pd.DataFrame) -> None:
    """A field's codes, weighted by frequency, do not move the log-odds on average; binary fields have one."""
    matrix, labels = features(cleveland), target(cleveland)
    found = odds_ratios(bootstrap_refits(matrix, labels, np.ones((1, len(labels))), UCI), UCI)
    for name in (FEATURE_NAMES[j] for j in UCI.columns.one_hot):
        values = matrix[:, FEATURE_NAMES.index(name)]
        shares = [(values == code).sum() for code, _ in FEATURES[FEATURE_NAMES.index(name)].codes]
        moved = [np.log(each.value) for column, each in found.items() if column.startswith(f"{name} ")]
        assert np.dot(shares, moved) == pytest.approx(0, abs=1e-9)
    assert found["sex"].value > 2


def test_best_model_generalizes_to_long_beach(everyone: pd.DataFrame, cleveland: pd.DataFrame) -> None:
    """Its accuracy is at least .72 with most tests missing, far above the baseline."""
    va = site_rows(everyone, "va")
    weights = np.ones((1, len(va)))
    accuracies = []
    for pipeline in (new_pipeline(new_pattern_submodels(UCI, 42), UCI), new_baseline_pipeline(UCI, 42)):
        fitted = pipeline.fit(features(cleveland), target(cleveland))
        risks = fitted.predict_proba(features(va))[:, 1]
        accuracies.append(performance(target(va), risks, 0.5, weights).figures["accuracy"].value)
    assert accuracies[0] >= 0.72
    assert accuracies[1] < 0.6


def test_tested_patient_does_not_influence_training(cleveland: pd.DataFrame) -> None:
    """A changed patient changes no other risk of the fold in which it is tested."""
    matrix, labels = features(cleveland), target(cleveland)
    tested = stratified_folds(labels, 42)[0][1]
    changed = matrix.copy()
    changed[tested[0], FEATURE_NAMES.index("chol")] = 1000.0
    pipelines = {"p": new_pipeline(new_pattern_submodels(UCI, 42), UCI), BASELINE: new_baseline_pipeline(UCI, 42)}
    before, after = (
        repeated_cross_validation(pipelines, rows, labels, UCI.table, [42], lambda _step: None)
        for rows in (matrix, changed)
    )
    for model in pipelines:
        one, other = before.risks[model][COMPLETE][0], after.risks[model][COMPLETE][0]
        np.testing.assert_array_equal(one[tested[1:]], other[tested[1:]])
        assert (one[np.setdiff1d(np.arange(303), tested)] != other[np.setdiff1d(np.arange(303), tested)]).any()


def test_exactly_the_listed_fields_are_deleted() -> None:
    """In a copy."""
    matrix = np.ones((2, 13))
    for fields in gap_sets(UCI.table).values():
        deleted = delete_fields(matrix, fields, UCI.table)
        assert {FEATURE_NAMES[j] for j in np.flatnonzero(np.isnan(deleted[0]))} == set(fields)
    assert not np.isnan(matrix).any()


def test_shuffled_labels_have_a_roc_auc_of_one_half(cleveland: pd.DataFrame) -> None:
    """Within 0.05."""
    pipeline = new_pipeline(new_logistic_regression(UCI, 42), UCI)
    assert permuted_labels_roc_auc(pipeline, features(cleveland), target(cleveland), 42) == pytest.approx(0.5, abs=0.05)


class Oracle:
    """A classifier that knows every shuffled order of the labels, test rows included: a leak."""

    def __init__(self, deals: np.ndarray) -> None:
        self.deals = deals
        self.deal = deals[0]

    def __sklearn_clone__(self) -> Oracle:
        return self

    def fit(self, matrix: np.ndarray, labels: np.ndarray) -> Oracle:
        rows = matrix[:, 0].astype(int)
        (self.deal,) = (deal for deal in self.deals if (deal[rows] == labels).all())
        return self

    def predict_proba(self, matrix: np.ndarray) -> np.ndarray:
        risks = self.deal[matrix[:, 0].astype(int)].astype(np.float64)
        return np.column_stack([1 - risks, risks])


def test_a_leak_raises_the_shuffle_alarm(cleveland: pd.DataFrame) -> None:
    """Predicting shuffled labels is only possible with a leak: the run fails and says so."""
    matrix, labels = features(cleveland), target(cleveland)
    matrix[:, 0] = np.arange(len(labels))
    deals = np.array([np.random.default_rng(42 + deal).permutation(labels) for deal in range(12)])
    with pytest.raises(ArtifactError, match=r"predicted with ROC-AUC 1\.000: the evaluation leaks"):
        permuted_labels_roc_auc(Oracle(deals), matrix, labels, 42)


def test_label_sets_keep_their_coverage_in_cleveland_only(everyone: pd.DataFrame, cleveland: pd.DataFrame) -> None:
    """Nested coverage is at least 87% per outcome in Cleveland; Long Beach's healthy patients get less.

    It also holds for each kind of chest pain, where a single limit covered 74% of the ill and 79% of the healthy.
    """
    matrix, labels = features(cleveland), target(cleveland)
    classifier = new_pattern_submodels(UCI, 42)
    home = nested_label_set_coverage(nested_folds(classifier, matrix, labels, UCI, [42, 43]), matrix, labels, UCI)
    assert home.without_disease is not None
    assert home.with_disease is not None
    assert 0.87 <= home.without_disease.value <= 0.96
    assert 0.87 <= home.with_disease.value <= 0.96
    for title in ("with chest pain", "without chest pain"):
        for held in wider_groups(home.groups)[title]:
            assert held.covered / held.patients >= 0.86, title
    va = site_rows(everyone, "va")
    limits = label_limits(labels, groups_of(matrix), risks_by_pattern(classifier, matrix, labels, UCI, 42), UCI)
    risks = new_pipeline(classifier, UCI).fit(matrix, labels).predict_proba(features(va))[:, 1]
    away = label_set_coverage(features(va), target(va), risks, limits, UCI)
    assert away is not None
    assert away.without_disease is not None
    assert away.without_disease.value < 0.87


def test_groups_are_counted_once_in_each_view(cleveland: pd.DataFrame) -> None:
    """The four groups, the two sexes and the two kinds of chest pain each add up to all patients of an outcome."""
    matrix, labels = features(cleveland), target(cleveland)
    limits = np.full((PATTERNS, len(GROUPS), 2), 0.5)
    found = label_set_coverage(matrix, labels, labels * 1.0, limits, UCI)
    assert found is not None
    rows = {**found.groups, **wider_groups(found.groups)}
    views = (GROUPS, ("women", "men"), ("with chest pain", "without chest pain"))
    for outcome in (0, 1):
        assert {int((labels == outcome).sum())} == {
            sum(rows[name][outcome].patients for name in view) for view in views
        }
    assert rows["women"][1].patients == int((labels[matrix[:, 1] == 0]).sum())


def test_coverage_counts_those_who_get_a_set(cleveland: pd.DataFrame) -> None:
    """A pattern without limits gives its patients no set: they are neither covered nor missed."""
    matrix, labels = features(cleveland), target(cleveland)
    limits = np.full((PATTERNS, len(GROUPS), 2), np.nan)
    assert label_set_coverage(matrix, labels, labels * 1.0, limits, UCI) is None
    limits[0] = (0.5, 0.5)
    found = label_set_coverage(matrix, labels, labels * 1.0, limits, UCI)
    assert found is not None
    complete = int((~np.isnan(matrix).any(axis=1)).sum())
    assert (found.patients, found.single) == (complete, 1.0)
    assert found.with_disease == wilson_interval(*[int(labels[~np.isnan(matrix).any(axis=1)].sum())] * 2)


def test_recommended_measurement_is_as_good_as_the_best_in_hindsight(cleveland: pd.DataFrame) -> None:
    """It brings risks nearer to those of complete records than any other field, within chance.

    The best field is known only in hindsight: the recommendation may be worse within the interval of chance, and
    is better than each of the other fields.
    """
    matrix, labels = features(cleveland), target(cleveland)
    found = evaluate_measure_next(
        nested_folds(new_pattern_submodels(UCI, 42), matrix, labels, UCI, [42, 43]), matrix, UCI, gap_sets(UCI.table)
    )
    assert [each.missing_fields for each in found] == [
        name for name, fields in gap_sets(UCI.table).items() if len(fields) > 1
    ]
    for each in found:
        assert each.recommended < each.before
        assert each.excess.low <= 0
        in_order = sorted(each.others.values())
        assert each.recommended <= 1.05 * in_order[0]
        assert all(each.recommended < away for away in in_order[3:])


def test_sample_size_is_that_of_the_published_example() -> None:
    """Riley's example (24 parameters, R² of .288, prevalence 17.4%): pmsampsize gives 623, 662 and 221 patients."""
    share = 0.174
    nothing = -share * np.log(share) - (1 - share) * np.log(1 - share)
    size = sample_size(np.array([1] * 174 + [0] * 826), 24, nothing + np.log(1 - 0.288) / 2)
    assert (size.for_shrinkage, size.for_optimism, size.for_prevalence) == (623, 662, 221)
    assert size.events_per_parameter == 7.25


@pytest.mark.parametrize("ours", [0.5, 0.35])
def test_the_models_threshold_is_among_those_reported(ours: float) -> None:
    """In order and once; each with the metrics of its labels."""
    labels, risks = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.37, 0.9])
    reported = list(threshold_metrics(labels, risks, ours))
    at = [each.threshold for each in reported]
    assert (at, at.count(ours)) == (sorted(set(at)), 1)
    own = reported[at.index(ours)]
    assert (own.sensitivity, own.specificity) == ((0.5, 1.0) if ours == 0.5 else (1.0, 0.5))


def test_instability_does_not_depend_on_the_seed(cleveland: pd.DataFrame) -> None:
    """Two seeds agree within a tenth."""
    matrix, labels = features(cleveland), target(cleveland)
    one, other = (
        instability(bootstrap_refits(matrix, labels, bootstrap_weights(len(labels), seed, 100), UCI), 0.5)
        for seed in (1, 2)
    )
    assert one.median_width == pytest.approx(other.median_width, rel=0.1)
    assert len(one.widths) == len(one.risks) == 303


def test_learning_curve_rises(cleveland: pd.DataFrame) -> None:
    """More patients give a model that ranks no worse, and 240 are enough for .9."""
    curve = learning_curve(
        new_pipeline(new_logistic_regression(UCI, 42), UCI), features(cleveland), target(cleveland), [42]
    )
    assert [point.patients for point in curve] == [40, 80, 120, 160, 200, 240]
    assert curve[-1].roc_auc >= max(0.9, curve[0].roc_auc)
