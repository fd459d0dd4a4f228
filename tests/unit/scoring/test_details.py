"""What a score says beside its risk is true, is said where it can be known, and can be switched off."""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np
import pytest

from schemas.codec import decode_score
from schemas.features import FEATURE_NAMES
from schemas.records import Details, Reason, Score
from scoring.artifact import Artifact
from scoring.engines import build_engine
from scoring.matrix import Matrix
from scoring.patterns import pattern_name, patterns_of
from scoring.pipeline import Scored, process
from scoring.scorer import Scorer
from tests.unit.scoring.models import as_values, every_missing_pattern, plain_of, random_rows, training_data

SWITCHES = [Details(*parts) for parts in product([True, False], [True, False], [0, 1, 3, 13])]
EVERYTHING = np.vstack([training_data()[0], random_rows(100), every_missing_pattern()])


def scores_of(rows: Matrix, scorer: Scorer) -> list[Score]:
    outcomes = process(as_values(rows), [None] * len(rows), scorer)
    return [decode_score(outcome.value) for outcome in outcomes if isinstance(outcome, Scored)]


@pytest.mark.parametrize("name", ["scorer", "pattern_scorer"])
def test_risk_lies_in_its_interval(name: str, request: pytest.FixtureRequest) -> None:
    """To the last shown digit, also where the risk is close to 0 or 1."""
    for score in scores_of(EVERYTHING, request.getfixturevalue(name)):
        assert isinstance(score.interval, tuple)
        low, high = score.interval
        assert 0 <= low <= score.risk <= high <= 1


@pytest.mark.parametrize("name", ["scorer", "pattern_scorer", "forest_scorer"])
def test_label_set_follows_the_limits_of_the_pattern(name: str, request: pytest.FixtureRequest) -> None:
    """A label is plausible where the risk keeps to the limit of its class; a set is never empty."""
    scorer: Scorer = request.getfixturevalue(name)
    fixture = {"scorer": "linear_artifact", "pattern_scorer": "pattern_artifact", "forest_scorer": "forest_artifact"}
    limits = plain_of(request.getfixturevalue(fixture[name])).label_limits
    scores = scores_of(EVERYTHING, scorer)
    for score, (highest, lowest) in zip(scores, limits[patterns_of(EVERYTHING)].tolist(), strict=True):
        plausible = tuple(label for label, is_so in ((0, score.risk <= highest), (1, score.risk >= lowest)) if is_so)
        assert score.label_set == (None if highest != highest else plausible or (0, 1))  # noqa: PLR0124  # NaN


def test_forest_says_what_it_does_not_know(forest_scorer: Scorer) -> None:
    """A forest has no interval and no exact reasons, and no label set where fields are missing: null, not a guess."""
    complete, gaps = scores_of(every_missing_pattern()[[0, 1]], forest_scorer)
    assert (complete.interval, complete.reasons) == (None, None)
    assert (isinstance(complete.label_set, tuple), gaps.label_set) == (True, None)


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact"])
def test_reasons_are_the_strongest_contributions(fixture: str, request: pytest.FixtureRequest) -> None:
    """The fields with the largest part in the log-odds come first, with their exact parts to three decimals."""
    artifact: Artifact = request.getfixturevalue(fixture)
    engine = build_engine(artifact).engine
    found = engine.explain(EVERYTHING).contributions
    assert found is not None
    for score, row in zip(scores_of(EVERYTHING, Scorer(artifact)), np.round(found, 3).tolist(), strict=True):
        by_strength = sorted(zip(engine.fields, row, strict=True), key=lambda pair: -abs(pair[1]))[:3]
        assert score.reasons == tuple(Reason(name, log_odds) for name, log_odds in by_strength)


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact"])
def test_all_reasons_explain_the_whole_risk(fixture: str, request: pytest.FixtureRequest) -> None:
    """Thirteen reasons and the average patient's log-odds give the risk back."""
    artifact: Artifact = request.getfixturevalue(fixture)
    linear = plain_of(artifact).linear
    assert linear is not None
    averages = linear.intercepts[patterns_of(EVERYTHING) if fixture == "pattern_artifact" else [0] * len(EVERYTHING)]
    for score, average in zip(scores_of(EVERYTHING, Scorer(artifact, Details(reasons=13))), averages, strict=True):
        assert isinstance(score.reasons, tuple)
        assert {reason.field for reason in score.reasons} == set(FEATURE_NAMES)
        log_odds = average + sum(reason.log_odds for reason in score.reasons)
        assert score.risk == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=13 * 0.0005 / 4)


def test_pattern_names_the_submodel(pattern_scorer: Scorer, scorer: Scorer) -> None:
    """A sub-model is named; a model that imputes has none, and says of each missing field that it was imputed."""
    rows = every_missing_pattern()
    expected = [pattern_name(pattern) for pattern in patterns_of(rows).tolist()]
    assert expected == [score.pattern for score in scores_of(rows, pattern_scorer)]
    assert {None} == {score.pattern for score in scores_of(rows, scorer)}
    imputed = [[str(warning.code) for warning in score.warnings].count("imputed") for score in scores_of(rows, scorer)]
    assert [len(score.missing) for score in scores_of(rows, scorer)] == imputed
    assert not [w for score in scores_of(rows, pattern_scorer) for w in score.warnings if w.code == "imputed"]


@pytest.mark.parametrize("details", SWITCHES)
@pytest.mark.parametrize("fixture", ["pattern_artifact", "forest_artifact"])
def test_switch_takes_a_part_away_and_changes_no_other(
    fixture: str, details: Details, request: pytest.FixtureRequest
) -> None:
    """What is switched off is absent; the rest has the same bytes as before."""
    artifact: Artifact = request.getfixturevalue(fixture)
    rows = EVERYTHING[::40]
    whole = scores_of(rows, Scorer(artifact, Details(reasons=13)))
    for score, full in zip(scores_of(rows, Scorer(artifact, details)), whole, strict=True):
        reasons = full.reasons[: details.reasons] if isinstance(full.reasons, tuple) else full.reasons
        expected = msgspec.structs.replace(
            full,
            interval=full.interval if details.interval else msgspec.UNSET,
            label_set=full.label_set if details.label_set else msgspec.UNSET,
            reasons=reasons if details.reasons else msgspec.UNSET,
        )
        assert expected == score
