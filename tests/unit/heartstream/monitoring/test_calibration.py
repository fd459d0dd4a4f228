"""Calibration by known outcomes: real patients with real risks, against training's own metrics."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from heartstream.monitoring.outcomes.calibration import Labels, calibration_metrics, evaluate_models
from heartstream.monitoring.outcomes.join import Joined, LeftOut, Pair
from schemas.records import ModelRef
from scoring.scorer import Scorer
from training.arrays import Risks
from training.data.frames import features, read_snapshot, target
from training.estimates import bootstrap_weights, wilson_interval
from training.evaluation.metrics import hospital_performance
from training.evaluation.recalibration import Advice, propose_shift


def of_site(site: str, scorer: Scorer) -> tuple[Labels, Risks]:
    frame = read_snapshot([site])
    return target(frame), scorer.risks(features(frame))


@pytest.mark.parametrize("site", ["cleveland", "va"])
def test_metrics_equal_those_of_training(site: str, pattern_scorer: Scorer) -> None:
    """Brier score, intercept, slope and ROC-AUC of the same rows, and scikit-learn's where it has them."""
    labels, risks = of_site(site, pattern_scorer)
    found = calibration_metrics(labels, risks)
    direct = hospital_performance(labels, risks, 0.5, bootstrap_weights(len(labels), 1, 200)).figures
    assert found.brier == pytest.approx(direct["brier"].value) == pytest.approx(brier_score_loss(labels, risks))
    assert found.roc_auc == pytest.approx(direct["roc_auc"].value) == pytest.approx(roc_auc_score(labels, risks))
    assert found.slope == pytest.approx(direct["slope"].value)
    assert found.intercept is not None
    assert found.intercept.value == pytest.approx(direct["intercept"].value)
    # Two ways to an interval: curvature, and bootstrap samples.
    assert found.intercept.low == pytest.approx(direct["intercept"].low, abs=0.15)
    assert found.intercept.high == pytest.approx(direct["intercept"].high, abs=0.15)
    share = wilson_interval(int(labels.sum()), len(labels))
    assert found.observed_expected is not None
    ratio = found.observed_expected
    assert (ratio.low * risks.mean(), ratio.high * risks.mean()) == pytest.approx((share.low, share.high))


def test_cleveland_needs_no_correction(pattern_scorer: Scorer) -> None:
    """The model was trained there: observed over expected is 1, and no shift is proposed."""
    labels, risks = of_site("cleveland", pattern_scorer)
    ratio = calibration_metrics(labels, risks).observed_expected
    assert ratio is not None
    assert ratio.value == pytest.approx(1, abs=0.02)
    assert propose_shift(labels, risks).advice is Advice.LEAVE


def test_one_outcome_has_only_some_metrics() -> None:
    """Metrics that one patient cannot determine are None, and nothing is divided by zero."""
    found = calibration_metrics(np.array([1]), np.array([0.25]))
    assert (found.outcomes, found.brier, found.intercept, found.slope, found.roc_auc) == (1, 0.5625, None, None, None)
    assert calibration_metrics(np.array([1]), np.array([0.0])).observed_expected is None


def test_models_are_evaluated_separately() -> None:
    """Each by its own pairs; the window has the most recent outcomes."""
    models = [ModelRef("m", "1", digest * 16) for digest in "ab"]
    right = [Pair((time, 0, 0), 0.9, 1) for time in range(30)]
    wrong = [Pair((time, 0, 0), 0.9, 0) for time in range(30, 40)]
    found = evaluate_models(Joined({models[0]: right[:5], models[1]: right + wrong}, LeftOut()), 10)
    assert [(each.model, each.all.outcomes, each.last.outcomes) for each in found.models] == [
        (models[1], 40, 10),
        (models[0], 5, 5),
    ]
    assert (found.models[0].last.events, found.models[0].all.events) == (0, 30)


def test_only_numpy_is_needed() -> None:
    """The worker's image has no pandas, scikit-learn or pyarrow, so the command imports none."""
    heavy = ("pandas", "sklearn", "scipy", "joblib", "mlflow", "pyarrow")
    code = (
        "import sys; import heartstream.monitoring.outcomes.watch, heartstream.monitoring.outcomes.render; "
        f"sys.stdout.write(','.join(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
