"""Laws of what outcomes say: real patients with real risks, against training's own measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from heartstream.outcomes.join import Joined, LeftOut, Pair
from heartstream.outcomes.judging import Advice, Labels, figures, judge, proposal, shifted
from schemas.records import ModelRef
from scoring.scorer import Scorer
from training.data import features, read_snapshot, target
from training.measures import Risks, performance_elsewhere, samples, wilson


def of_site(site: str, scorer: Scorer) -> tuple[Labels, Risks]:
    frame = read_snapshot([site])
    return target(frame), scorer.risks(features(frame))


@pytest.mark.parametrize("site", ["cleveland", "va"])
def test_figures_are_those_of_the_training_measures(site: str, pattern_scorer: Scorer) -> None:
    """Brier, intercept, slope and ROC-AUC of the same rows; what scikit-learn has, it says too."""
    labels, risks = of_site(site, pattern_scorer)
    found = figures(labels, risks)
    direct = performance_elsewhere(labels, risks, 0.5, samples(len(labels), 1, 200)).figures
    assert found.brier == pytest.approx(direct["brier"].value) == pytest.approx(brier_score_loss(labels, risks))
    assert found.roc_auc == pytest.approx(direct["roc_auc"].value) == pytest.approx(roc_auc_score(labels, risks))
    assert found.slope == pytest.approx(direct["slope"].value)
    assert found.intercept is not None
    assert found.intercept.value == pytest.approx(direct["intercept"].value)
    # Two ways to an interval: curvature, and bootstrap samples.
    assert found.intercept.low == pytest.approx(direct["intercept"].low, abs=0.15)
    assert found.intercept.high == pytest.approx(direct["intercept"].high, abs=0.15)
    share = wilson(int(labels.sum()), len(labels))
    assert found.observed_expected is not None
    ratio = found.observed_expected
    assert (ratio.low * risks.mean(), ratio.high * risks.mean()) == pytest.approx((share.low, share.high))


def test_cleveland_needs_no_correction(pattern_scorer: Scorer) -> None:
    """The model was trained there: observed over expected is 1, and the proposal is to leave it."""
    labels, risks = of_site("cleveland", pattern_scorer)
    ratio = figures(labels, risks).observed_expected
    assert ratio is not None
    assert ratio.value == pytest.approx(1, abs=0.02)
    assert proposal(labels, risks).advice is Advice.LEAVE


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest"])
def test_a_model_that_imputes_is_to_be_recalibrated_at_long_beach(name: str, model_dir: Path) -> None:
    """Its risks are too low there, where three fields were hardly measured; a shift makes them better."""
    labels, risks = of_site("va", Scorer.from_directory(model_dir, name))
    found = proposal(labels, risks)
    ratio = figures(labels, risks).observed_expected
    assert ratio is not None
    assert ratio.low > 1
    assert found.advice is Advice.RECALIBRATE
    assert found.shift is not None
    assert found.shift.low > 0
    assert found.brier_after is not None
    assert found.brier_before is not None
    assert found.brier_after < found.brier_before


def test_the_shift_makes_the_mean_risk_the_share(pattern_scorer: Scorer) -> None:
    """That is what maximum likelihood asks of an intercept."""
    labels, risks = of_site("switzerland", pattern_scorer)
    found = proposal(labels, risks).shift
    assert found is not None
    assert shifted(risks, found.value).mean() == pytest.approx(labels.mean(), abs=1e-6)


def test_the_interval_holds_the_truth_in_95_of_100() -> None:
    """Risks that are 0.7 too low on the log-odds, 400 times 100 patients."""
    chance = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        risks = chance.uniform(0.05, 0.95, 100)
        labels = (chance.uniform(size=100) < shifted(risks, 0.7)).astype(np.int64)
        found = proposal(labels, risks).shift
        assert found is not None
        held += found.low <= 0.7 <= found.high
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_a_proposal_waits_for_50_outcomes_of_both_kinds(pattern_scorer: Scorer) -> None:
    """Of 49 nothing is proposed, of 50 something; of 60 of one kind nothing, for the shift would be infinite."""
    labels, risks = of_site("va", pattern_scorer)
    assert proposal(labels[:49], risks[:49]).advice is Advice.WAIT
    assert proposal(labels[:50], risks[:50]).advice is not Advice.WAIT
    assert proposal(np.ones(60, dtype=np.int64), risks[:60]).advice is Advice.WAIT


def test_a_shift_that_does_not_help_is_not_advised() -> None:
    """One patient in six was called all but healthy and is ill: risks are too low, and right where they are not."""
    labels = np.concatenate([np.tile([0, 1], 50), np.ones(20, dtype=np.int64)])
    risks = np.repeat([0.5, 0.0001], [100, 20])
    assert proposal(labels, risks).advice is Advice.LOOK_CLOSER


def test_sub_models_by_pattern_need_no_correction_at_long_beach(pattern_scorer: Scorer) -> None:
    """Inputs drift there, and risks are right on average all the same: drift is not error."""
    labels, risks = of_site("va", pattern_scorer)
    assert proposal(labels, risks).advice is Advice.LEAVE


def test_one_outcome_is_told_of() -> None:
    """What one patient cannot tell is None; nothing divides by zero."""
    found = figures(np.array([1]), np.array([0.25]))
    assert (found.outcomes, found.brier, found.intercept, found.slope, found.roc_auc) == (1, 0.5625, None, None, None)
    assert figures(np.array([1]), np.array([0.0])).observed_expected is None


def test_models_are_judged_apart_and_the_last_outcomes_are_the_newest() -> None:
    """Each by its own pairs; the window holds those that became known last."""
    models = [ModelRef("m", "1", digest * 16) for digest in "ab"]
    right = [Pair((time, 0, 0), 0.9, 1) for time in range(30)]
    wrong = [Pair((time, 0, 0), 0.9, 0) for time in range(30, 40)]
    found = judge(Joined({models[0]: right[:5], models[1]: right + wrong}, LeftOut()), 10)
    assert [(each.model, each.all.outcomes, each.last.outcomes) for each in found.models] == [
        (models[1], 40, 10),
        (models[0], 5, 5),
    ]
    assert (found.models[0].last.events, found.models[0].all.events) == (0, 30)


def test_numpy_is_enough() -> None:
    """The worker's image has neither pandas nor scikit-learn nor pyarrow: the command does without."""
    heavy = ("pandas", "sklearn", "scipy", "joblib", "mlflow", "pyarrow")
    code = (
        "import sys; import heartstream.outcomes.following, heartstream.outcomes.telling; "
        f"sys.stdout.write(','.join(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
