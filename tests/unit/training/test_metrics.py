"""Every metric equals scikit-learn's or its definition, and its interval has the nominal coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from training.estimates import MIN_PATIENTS, bootstrap_weights, wilson_interval, with_both_outcomes
from training.evaluation.metrics import (
    calibration,
    hospital_performance,
    net_benefit,
    performance,
    prevalence_brier,
    roc_auc,
    small_group_performance,
)
from training.evaluation.operating_point import at_specificity


def drawn(seed: int, patients: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, risks with ties, and how often each patient counts."""
    chance = np.random.default_rng(seed)
    risks = np.round(chance.uniform(0.02, 0.98, patients), 2)
    labels = (chance.random(patients) < risks**1.5).astype(np.int64)
    return labels, risks, chance.integers(0, 4, patients).astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learns(seed: int) -> None:
    """With weights and without."""
    labels, risks, counts = drawn(seed)
    for weights in (np.ones(len(labels)), counts):
        found = performance(labels, risks, 0.4, weights[None]).figures
        said = (risks >= 0.4).astype(int)
        options = {"sample_weight": weights}
        expected = {
            "accuracy": accuracy_score(labels, said, **options),
            "precision": precision_score(labels, said, **options),
            "recall": recall_score(labels, said, **options),
            "specificity": recall_score(1 - labels, 1 - said, **options),
            "f1": f1_score(labels, said, **options),
            "roc_auc": roc_auc_score(labels, risks, **options),
            "brier": brier_score_loss(labels, risks, **options),
            "log_loss": log_loss(labels, risks, **options),
            "bias": np.average(risks, weights=weights) - np.average(labels, weights=weights),
        }
        assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_that_of_an_unpenalised_regression(seed: int) -> None:
    """The slope is scikit-learn's coefficient of the log-odds; with the intercept the mean risk is the prevalence."""
    labels, risks, counts = drawn(seed)
    log_odds = np.log(risks / (1 - risks))
    slopes, intercepts = calibration(labels, risks, np.vstack([np.ones(len(labels)), counts]))
    for slope, intercept, weights in zip(slopes, intercepts, (np.ones(len(labels)), counts), strict=True):
        fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(log_odds[:, None], labels, weights)
        assert slope == pytest.approx(fitted.coef_[0, 0], abs=1e-4)
        shifted = 1 / (1 + np.exp(-(log_odds + intercept)))
        assert np.average(shifted, weights=weights) == pytest.approx(np.average(labels, weights=weights), abs=1e-6)


@pytest.mark.parametrize(("factor", "shift"), [(0.5, 0.0), (1.0, 0.7), (2.0, 0.0)])
def test_calibration_recovers_slope_and_intercept(factor: float, shift: float) -> None:
    """True log-odds minus a shift and divided by a factor have these as intercept and slope."""
    rng = np.random.default_rng(42)
    log_odds = rng.normal(0, 1.5, 100_000)
    labels = (rng.random(100_000) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
    risks = 1 / (1 + np.exp(-(log_odds - shift) / factor))
    slope, intercept = calibration(labels, risks, np.ones((1, len(labels))))
    assert slope[0] == pytest.approx(factor, rel=0.03)
    if factor == 1:
        assert intercept[0] == pytest.approx(shift, abs=0.03)


def test_perfectly_separated_samples_stay_finite() -> None:
    """Separable outcomes have no finite slope, and no metric becomes infinite."""
    labels = np.array([0] * 30 + [1] * 30)
    found = performance(labels, np.where(labels == 1, 0.9, 0.1), 0.5, bootstrap_weights(60, 1, 20)).figures
    assert all(np.isfinite([each.value, each.low, each.high]).all() for each in found.values())


@given(st.integers(0, 10_000))
def test_auc_is_the_probability_of_the_higher_risk(seed: int) -> None:
    """Counted over all pairs, with ties as half."""
    labels, risks, _ = drawn(seed, 40)
    ill, healthy = risks[labels == 1], risks[labels == 0]
    if not len(ill) or not len(healthy):
        return
    pairs = (ill[:, None] > healthy).mean() + 0.5 * (ill[:, None] == healthy).mean()
    assert roc_auc(labels, risks, np.ones((1, 40)))[0] == pytest.approx(pairs, abs=1e-12)


def test_intervals_have_their_nominal_coverage() -> None:
    """In 600 samples of 300 patients 92 to 98% of each metric's intervals contain the population's value."""
    truth = performance(*drawn(999, 100_000)[:2], 0.5, np.ones((1, 100_000))).figures
    held: dict[str, list[bool]] = {name: [] for name in truth}
    for seed in range(600):
        labels, risks, _ = drawn(seed, 300)
        found = performance(labels, risks, 0.5, bootstrap_weights(300, seed, 200)).figures
        for name, inside in held.items():
            inside.append(found[name].low <= truth[name].value <= found[name].high)
    shares = {name: np.mean(inside) for name, inside in held.items()}
    assert {name: share for name, share in shares.items() if not 0.92 <= share <= 0.98} == {}


def test_rare_outcome_is_in_every_sample() -> None:
    """Bootstrap samples without one of the outcomes are dropped, but never the original sample."""
    labels = np.array([1] * 3 + [0] * 60)
    weights = with_both_outcomes(bootstrap_weights(63, 1, 200), labels)
    assert (weights[0] == 1).all()
    assert (weights @ labels > 0).all()
    assert 100 < len(weights) < 201


def test_too_few_of_an_outcome_have_counts_only() -> None:
    """19 events give no metrics, 20 do; counts are always reported."""
    for events in (MIN_PATIENTS - 1, MIN_PATIENTS):
        labels = np.array([1] * events + [0] * 100)
        found = performance(labels, np.linspace(0.9, 0.1, len(labels)), 0.5, np.ones((1, len(labels))))
        assert (found.patients, found.events, bool(found.figures)) == (events + 100, events, events >= MIN_PATIENTS)


def test_metrics_of_a_rare_outcome_are_omitted() -> None:
    """With 8 of 123 without disease specificity, ROC-AUC and slope are omitted; sensitivity and Brier score are not."""
    labels = np.array([0] * 8 + [1] * 115)
    figures = hospital_performance(labels, np.linspace(0.1, 0.9, 123), 0.5, bootstrap_weights(123, 1, 50)).figures
    assert figures.keys().isdisjoint({"specificity", "roc_auc", "slope"})
    assert {"recall", "brier", "bias", "intercept", "accuracy"} <= figures.keys()


def test_small_groups_are_counted() -> None:
    """Eight patients have sensitivity and specificity as counts with Wilson's interval; the bias needs 20 patients."""
    labels, risks = np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([0.9, 0.4, 0.8, 0.1, 0.2, 0.7, 0.3, 0.5])
    found = small_group_performance(labels, risks, 0.5, bootstrap_weights(8, 42, 50))
    assert (found.patients, found.events) == (8, 3)
    assert found.figures == {"recall": wilson_interval(2, 3), "specificity": wilson_interval(3, 5)}
    thrice = small_group_performance(np.tile(labels, 3), np.tile(risks, 3), 0.5, bootstrap_weights(24, 42, 50))
    assert thrice.figures["bias"].value == pytest.approx((risks - labels).mean())
    assert set(small_group_performance(labels[:3], risks[:3], 0.5, bootstrap_weights(3, 42, 50)).figures) == {"recall"}


@pytest.mark.parametrize("specificity", [0.0, 0.5, 0.84, 1.0])
def test_threshold_at_a_specificity_is_the_lowest(specificity: float) -> None:
    """Pooled over all runs it reaches the specificity, and the next lower risk does not."""
    labels, risks, _ = drawn(3)
    weights = bootstrap_weights(len(labels), 42, 10)
    runs = np.array([risks, np.roll(risks, 1)])
    found = at_specificity(labels, runs, specificity, weights)
    healthy = np.sort(runs[:, labels == 0], axis=None)
    below = (healthy < found.threshold).mean()
    assert below >= specificity
    lower = healthy[healthy < found.threshold]
    assert not len(lower) or (healthy < lower[-1]).mean() < specificity
    assert found.performance.figures["specificity"].value == pytest.approx(below)
    assert found.performance.figures["recall"].value == pytest.approx((runs[:, labels == 1] >= found.threshold).mean())


def test_undefined_metrics_are_omitted() -> None:
    """Without positive labels there is no precision and no warning."""
    labels = np.array([1] * 20 + [0] * 20)
    assert "precision" not in performance(labels, np.linspace(0.1, 0.2, 40), 0.5, bootstrap_weights(40, 1, 10)).figures


def test_wilson_is_the_published_interval() -> None:
    """Newcombe's examples (Stat Med 1998): 81 of 263, 15 of 148, 0 of 20."""
    for events, patients, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson_interval(events, patients)
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_net_benefit_follows_its_definition() -> None:
    """At a threshold of 0.2 two of four are true and one is a false positive: 2/4 - 1/4 * 0.25."""
    assert net_benefit(np.array([1, 1, 0, 0]), np.array([0.9, 0.3, 0.5, 0.1]), 0.2) == pytest.approx(0.5 - 0.25 * 0.25)


def test_prevalence_brier_is_that_of_a_constant_prediction() -> None:
    """Predicting the prevalence for everybody has this Brier score."""
    labels = np.array([1] * 46 + [0] * 54)
    assert prevalence_brier(labels) == pytest.approx(brier_score_loss(labels, np.full(100, 0.46)))
