"""The ladder of adaptation: which rung is chosen, for real patients with outcomes of known origin."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from schemas.errors import DataError
from scoring.compiled_table import CompiledTable
from scoring.logistic import logistic
from tests.support.other_tables import table
from tests.support.uci import UCI
from training.arrays import Labels
from training.candidates import LOCAL_INVERSE_PENALTY, new_pattern_submodels, new_pipeline, penalty_of
from training.data.frames import features, read_snapshot, target
from training.evaluation.adaptation import LocalModel, LocalPatients, Rung, climb, preprocessed
from training.evaluation.metrics import calibration_line, log_odds
from training.evaluation.recalibration import Line, fit_line
from training.listed_patterns import listed_patterns
from training.report.adaptation_table import ADAPTED, FittedCandidate
from training.report.adapted_card import findings

SUB_MODELS: Final = FittedCandidate.named("pattern_submodels")


def hospital(site: str) -> LocalPatients:
    """A hospital's patients, with the risks of sub-models trained in Cleveland."""
    return SUB_MODELS.patients(read_snapshot([site]))


def known(patients: LocalPatients, line: Line, seed: int, count: int) -> LocalPatients:
    """Draw patients, with outcomes of risks that are a line of the model's log-odds."""
    rng = np.random.default_rng(seed)
    drawn = patients.part(rng.permutation(len(patients.risks))[:count])
    return drawn._replace(labels=(rng.uniform(size=count) < line.risks(drawn.risks)).astype(np.int64))


def decide(patients: LocalPatients, up_to: Rung | None = None) -> Rung:
    return climb(patients, SUB_MODELS.local, 1, up_to).decision


@pytest.mark.parametrize("name", ADAPTED)
def test_the_fast_refit_equals_scikit_learns_pipeline(name: str) -> None:
    """With and without sub-models, whatever is missing; the preprocessor is fitted on the same rows."""
    rows = read_snapshot(["hungarian"]).sample(frac=1, random_state=1)
    matrix, labels, local = features(rows), target(rows), FittedCandidate.named(name).local
    columns = preprocessed(matrix, UCI)
    fast = local.fitted_risks(columns[:150], labels[:150], columns[150:])
    fitted = new_pipeline(local.classifier, UCI).fit(matrix[:150], labels[:150])
    assert fast == pytest.approx(fitted.predict_proba(matrix[150:])[:, 1], abs=1e-9)
    assert 1 / penalty_of(local.classifier) == pytest.approx(LOCAL_INVERSE_PENALTY)


def test_the_refit_is_that_of_a_table_with_many_optional_fields() -> None:
    """Its unlisted patterns are derived, in the cross-validation as in the model that is written."""
    wisconsin, found = table("wdbc"), load_breast_cancer()
    matrix, labels = found.data.copy(), (found.target == 0).astype(np.int64)
    matrix[np.random.default_rng(3).random(matrix.shape) < 0.2] = np.nan
    compiled = CompiledTable(wisconsin, listed_patterns(matrix, wisconsin)[:40])
    local = LocalModel.like(new_pattern_submodels(compiled, 0), compiled)
    columns = preprocessed(matrix, compiled)
    found_risks = local.fitted_risks(columns[:300], labels[:300], columns[300:])
    fitted = new_pipeline(local.classifier, compiled).fit(matrix[:300], labels[:300])
    assert found_risks == pytest.approx(fitted.predict_proba(matrix[300:])[:, 1], abs=1e-9)


def test_a_model_whose_risks_are_right_is_kept() -> None:
    """Outcomes are drawn by its own risks: of 40 draws chance changes few."""
    budapest = hospital("hungarian")
    found = [decide(known(budapest, Line(0.0), seed, 120)) for seed in range(40)]
    assert found.count(Rung.KEEP) >= 36
    assert Rung.REFUSE not in found


@pytest.mark.parametrize(
    ("line", "rung"), [(Line(-1.5), Rung.INTERCEPT), (Line(0.0, 0.35), Rung.SLOPE)], ids=["shift", "slope"]
)
def test_the_rung_is_the_fault_of_the_risks(line: Line, rung: Rung) -> None:
    """Risks that are too high need an intercept, risks that are too extreme a slope, and neither a refit."""
    found = [decide(known(hospital("hungarian"), line, seed, 290)) for seed in range(6)]
    assert found.count(rung) >= 5
    assert Rung.REFIT not in found


def test_a_reversed_ranking_needs_a_refit() -> None:
    """A slope below 0 is never applied: it would reverse every reason."""
    reversed_ = known(hospital("hungarian"), Line(0.5, -1.0), 1, 290)
    ladder = climb(reversed_, SUB_MODELS.local, 1)
    assert (ladder.decision, ladder.slope < 0) == (Rung.REFIT, True)
    ranking, calibration, *_ = findings(ladder, reversed_, "disease")
    assert ranking.startswith("Ranking fails")
    assert calibration.startswith("Calibration fails")
    assert decide(reversed_, Rung.SLOPE) is Rung.REFUSE


def test_a_model_that_knows_less_than_the_prevalence_is_refused() -> None:
    """Its risks are noise, and too few patients are well to refit it."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [15, 105]).astype(np.int64)
    noise = LocalPatients(labels, logistic(rng.normal(0, 3, 120)))
    assert decide(noise) is Rung.REFUSE


def with_outcomes(well: int, ill: int) -> LocalPatients:
    labels = np.repeat([0, 1], [well, ill]).astype(np.int64)
    everybody = hospital("hungarian")
    return everybody.part(slice(0, well + ill))._replace(labels=labels)


@pytest.mark.parametrize(
    ("patients", "up_to", "needed"),
    [
        (with_outcomes(60, 39), None, "an adaptation needs 100"),
        (with_outcomes(4, 150), None, "at least 5 of them of either outcome"),
        (with_outcomes(19, 150), Rung.SLOPE, "needs 20 patients of either outcome, there are 19"),
        (with_outcomes(150, 24), Rung.REFIT, r"there are 24, and a useful one about \d+ patients"),
        (with_outcomes(60, 60)._replace(columns=None), Rung.REFIT, "--data"),
    ],
)
def test_too_few_patients_are_refused_with_the_number_needed(
    patients: LocalPatients, up_to: Rung | None, needed: str
) -> None:
    """For anything, or for the rung that was asked for."""
    with pytest.raises(DataError, match=needed):
        climb(patients, SUB_MODELS.local, 1, up_to)


def test_without_a_wish_the_possible_rungs_are_tried() -> None:
    """The ladder says which were not, and why."""
    few = climb(with_outcomes(150, 12), SUB_MODELS.local, 1)
    assert [each.rung for each in few.rungs] == ["keep", "intercept"]
    assert set(few.not_tried) == {"slope", "refit"}
    low = climb(with_outcomes(60, 60), SUB_MODELS.local, 1, Rung.INTERCEPT)
    assert low.not_tried == {"slope": "it is above intercept", "refit": "it is above intercept"}


def labels_of(risks: np.typing.NDArray[np.float64], seed: int) -> Labels:
    return (np.random.default_rng(seed).uniform(size=len(risks)) < risks).astype(np.int64)


def test_the_line_is_cox_recalibration_and_its_error_covers_the_truth() -> None:
    """The truth of the most extreme patient lies within 1.645 errors in about 90 of 100 draws: so intervals grow."""
    risks = hospital("hungarian").risks
    truth, held = Line(0.3, 0.7), 0
    for seed in range(200):
        labels = labels_of(truth.risks(risks), seed)
        line = fit_line(labels, risks)
        direct = calibration_line(labels, risks, np.ones((1, len(labels))))[0]
        assert (line.intercept, line.slope) == pytest.approx(tuple(direct))
        odds = log_odds(risks)[np.argmax(np.abs(log_odds(risks)))]
        held += abs((line.intercept - truth.intercept) + (line.slope - truth.slope) * odds) <= 1.645 * line.error
    assert held / 200 >= 0.86
