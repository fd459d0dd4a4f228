"""Recalibration: proposals for real patients with real risks, and a simulation of their effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scoring.scorer import Scorer
from training.arrays import Labels, Risks
from training.data.exploration import SITE_NAMES
from training.data.frames import features, read_snapshot, target
from training.evaluation.recalibration import (
    CERTAINTY,
    MAX_HARM,
    MIN_OUTCOMES,
    Advice,
    propose_shift,
    shift_interval,
    shift_risks,
    simulate_harm,
)
from training.report.recalibration_table import harm_table, simulate


def of_site(site: str, scorer: Scorer) -> tuple[Labels, Risks]:
    frame = read_snapshot([site])
    return target(frame), scorer.risks(features(frame))


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_a_model_that_imputes_is_to_be_recalibrated_at_long_beach(name: str, model_dir: Path) -> None:
    """Its risks are too low there, as three fields were hardly measured; the proposal improves them."""
    found = propose_shift(*of_site("va", Scorer.from_directory(model_dir, name)))
    assert found.advice is Advice.RECALIBRATE
    assert found.shift is not None
    assert found.proposed is not None
    assert 0 < found.proposed < found.shift.value
    assert found.brier_after is not None
    assert found.brier_before is not None
    assert found.brier_after < found.brier_before


def test_sub_models_by_pattern_need_no_correction_at_long_beach(pattern_scorer: Scorer) -> None:
    """The inputs drift, but risks are right on average: drift is not error."""
    assert propose_shift(*of_site("va", pattern_scorer)).advice is Advice.LEAVE


def test_the_shift_equals_mean_risk_and_prevalence_and_is_proposed_in_part(pattern_scorer: Scorer) -> None:
    """It is the maximum likelihood intercept; the proposal is its 98% limit nearest to 0."""
    labels, risks = of_site("switzerland", pattern_scorer)
    found = propose_shift(labels, risks)
    assert found.shift is not None
    assert found.standard_error is not None
    assert shift_risks(risks, found.shift.value).mean() == pytest.approx(labels.mean(), abs=1e-6)
    assert found.proposed == pytest.approx(found.shift.value - CERTAINTY * found.standard_error)


@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_the_interval_has_95_percent_coverage(spread: float) -> None:
    """In 1,000 samples of 100 patients whose risks are off by a shift, even if they are too extreme."""
    chance = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        odds = chance.normal(0, 1, 100)
        risks = 1 / (1 + np.exp(-odds * spread))
        labels = (chance.uniform(size=100) < 1 / (1 + np.exp(-odds))).astype(np.int64)
        found = shift_interval(labels, risks)
        assert found is not None
        held += found.low <= 0 <= found.high
    assert held / 1000 == pytest.approx(0.95, abs=0.02)


def test_a_proposal_waits_for_enough_outcomes_of_both_kinds(pattern_scorer: Scorer) -> None:
    """One outcome less gives no proposal; nor does a single kind, whose shift would be infinite."""
    labels, risks = of_site("va", pattern_scorer)
    assert propose_shift(labels[: MIN_OUTCOMES - 1], risks[: MIN_OUTCOMES - 1]).advice is Advice.WAIT
    assert propose_shift(labels[:MIN_OUTCOMES], risks[:MIN_OUTCOMES]).advice is not Advice.WAIT
    assert propose_shift(np.ones(MIN_OUTCOMES, dtype=np.int64), risks[:MIN_OUTCOMES]).advice is Advice.WAIT


def test_a_shift_that_does_not_help_is_not_advised() -> None:
    """Every sixth patient has a wrong risk near 0 and the others are right: shifting all would not help."""
    labels = np.concatenate([np.tile([0, 1], 50), np.ones(20, dtype=np.int64)])
    risks = np.repeat([0.5, 0.0001], [100, 20])
    assert propose_shift(labels, risks).advice is Advice.LOOK_CLOSER


def test_proposals_do_no_harm_in_the_other_hospitals() -> None:
    """For each model and number of outcomes at most 5% of the proposals make a hospital worse."""
    for model, found in simulate().items():
        for each in found:
            if each.hospital == "cleveland":
                # Nothing is wrong there, so whatever is proposed is worse: it must be rare, and hardly cost anything.
                assert each.proposed < 0.03, (model, each)
                assert each.largest_loss < 0.005, (model, each)
            else:
                assert each.worse is not None
                assert each.worse <= MAX_HARM, (model, each)
                assert each.gain > 0, (model, each)
        assert harm_table({model: found}, SITE_NAMES).count("\n") == len(found) + 2


def test_the_simulation_equals_applying_the_proposals(pattern_scorer: Scorer) -> None:
    """Sample by sample, with the rule that users get: the same counts and gains."""
    labels, risks = of_site("hungarian", pattern_scorer)
    (found,) = simulate_harm({"hungarian": (labels, risks)}, seed=3, sizes=[150])
    drawn = np.random.default_rng(3).multinomial(150, np.full(len(labels), 1 / len(labels)), 2000)
    gains = []
    for counts in drawn:
        who = np.repeat(np.arange(len(labels)), counts)
        made = propose_shift(labels[who], risks[who])
        if made.advice is Advice.RECALIBRATE:
            assert made.proposed is not None
            gains.append(_brier(labels, risks) - _brier(labels, shift_risks(risks, made.proposed)))
    assert found.proposed == len(gains) / 2000
    assert found.gain == pytest.approx(np.mean(gains))


def _brier(labels: Labels, risks: Risks) -> float:
    return float(np.square(risks - labels).mean())
