"""The details of a score are correct, null where they cannot be known, and can be switched off."""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np
import pytest

from schemas.codec import decode_score
from schemas.records import Details, Reason, Score
from scoring.engines import build_engine
from scoring.features import Matrix
from scoring.model_artifact import Artifact
from scoring.scorer import Scorer
from tests.support.models import every_missing_pattern, plain_of, random_rows, training_data
from tests.support.other_tables import as_lines, invented_rows
from tests.support.outcomes import Scored, process
from tests.support.uci import FEATURE_NAMES, OPTIONAL, UCI, pattern_name, patterns_of

SWITCHES = [
    Details(interval, label_set, reasons, measure_next=measure_next)
    for interval, label_set, reasons, measure_next in product(
        [True, False], [True, False], [0, 1, 3, 13], [True, False]
    )
]
EVERYTHING = np.vstack([training_data()[0], random_rows(100), every_missing_pattern()])


def rows_for(scorer: Scorer) -> Matrix:
    """Return patients of the scorer's table, complete and not."""
    return EVERYTHING if scorer.compiled.table == UCI.table else invented_rows(scorer.compiled, 300)


def scores_of(rows: Matrix, scorer: Scorer) -> list[Score]:
    sent = [{"patient_id": "p", **scorer.compiled.table.fields_of(row)} for row in rows.tolist()]
    outcomes = process(as_lines(sent), [None] * len(rows), scorer)
    return [decode_score(outcome.value) for outcome in outcomes if isinstance(outcome, Scored)]


@pytest.mark.parametrize("name", ["scorer", "pattern_scorer", "flchain_scorer"])
def test_risk_lies_in_its_interval(name: str, request: pytest.FixtureRequest) -> None:
    """To the last printed digit, even if the risk is close to 0 or 1."""
    scorer: Scorer = request.getfixturevalue(name)
    for score in scores_of(rows_for(scorer), scorer):
        assert isinstance(score.interval, tuple)
        low, high = score.interval
        assert 0 <= low <= score.risk <= high <= 1
        assert (score.sampling_interval is msgspec.UNSET) == (not score.missing)
        if isinstance(score.sampling_interval, tuple):
            assert low <= score.sampling_interval[0] <= score.risk <= score.sampling_interval[1] <= high


@pytest.mark.parametrize("name", ["scorer", "pattern_scorer"])
def test_interval_never_narrows_when_a_field_is_removed(name: str, request: pytest.FixtureRequest) -> None:
    """For real patients, whatever else is missing, removing a field leaves the interval as wide or wider.

    Widths are compared in log-odds: in probabilities the same width is smaller near 0 and 1, and the risk itself
    moves.
    """
    scorer: Scorer = request.getfixturevalue(name)
    rows = np.vstack([training_data()[0], random_rows(50)])
    for field in OPTIONAL:
        deleted = rows.copy()
        deleted[:, field] = np.nan
        before, after = widths(rows, scorer), widths(deleted, scorer)
        # Limits have four decimals, which is coarse in log-odds near 0 and 1.
        fine = ~np.isnan(before + after)
        assert fine.sum() > 150
        assert (after[fine] >= before[fine] - 0.05).all()


def test_few_measurements_give_a_wide_interval_and_both_labels(pattern_scorer: Scorer) -> None:
    """A real man of 49 with non-anginal pain and nothing else measured was ill: "no disease" alone would be wrong."""
    row = np.full((1, len(FEATURE_NAMES)), np.nan)
    row[0, :3] = 49, 1, 3
    (score,) = scores_of(row, pattern_scorer)
    assert isinstance(score.interval, tuple)
    assert score.interval[1] - score.interval[0] > 0.7
    assert score.label_set == (0, 1)
    assert score.measure_next is not None
    assert len(score.measure_next) == 3  # type: ignore[arg-type]


def widths(rows: Matrix, scorer: Scorer) -> Matrix:
    """Return the interval widths in log-odds, NaN if a limit is within 0.005 of 0 or 1."""
    intervals = np.array([score.interval for score in scores_of(rows, scorer)])
    intervals[(intervals < 0.005) | (intervals > 0.995)] = np.nan
    log_odds = np.log(intervals / (1 - intervals))
    width: Matrix = log_odds[:, 1] - log_odds[:, 0]
    return width


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact"])
def test_measure_next_lists_the_fields_that_reduce_uncertainty_most(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    """Of each pattern, the up to three missing fields whose measurement leaves the smallest distance, in order."""
    artifact: Artifact = request.getfixturevalue(fixture)
    distance = plain_of(artifact).uncertainty.distance
    assert distance is not None
    rows = every_missing_pattern()
    for score, pattern in zip(scores_of(rows, Scorer(artifact)), patterns_of(rows).tolist(), strict=True):
        bits = [bit for bit in range(len(OPTIONAL)) if pattern >> bit & 1]
        best = sorted(bits, key=lambda bit: (distance[pattern & ~(1 << bit)], bit))[:3]
        assert score.measure_next == tuple(FEATURE_NAMES[OPTIONAL[bit]] for bit in best)


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact", "forest_artifact", "flchain_artifact"])
def test_label_set_follows_the_limits_of_the_pattern(fixture: str, request: pytest.FixtureRequest) -> None:
    """A label is in the set if the risk is within its class's limit; a set is never empty."""
    artifact: Artifact = request.getfixturevalue(fixture)
    scorer, limits = Scorer(artifact), plain_of(artifact).uncertainty.label_limits
    rows, compiled = rows_for(scorer), scorer.compiled
    own = limits[compiled.patterns.of(rows), compiled.groups.of(rows)].tolist()
    for score, (highest, lowest) in zip(scores_of(rows, scorer), own, strict=True):
        plausible = tuple(label for label, is_so in ((0, score.risk <= highest), (1, score.risk >= lowest)) if is_so)
        assert score.label_set == (None if highest != highest else plausible or (0, 1))  # noqa: PLR0124  # NaN


def test_forest_returns_null_for_what_it_cannot_know(forest_scorer: Scorer) -> None:
    """A forest has no interval, no exact reasons, and no label set when fields are missing."""
    complete, gaps = scores_of(every_missing_pattern()[[0, 1]], forest_scorer)
    assert (complete.interval, complete.reasons, complete.measure_next) == (None, None, None)
    assert gaps.sampling_interval is msgspec.UNSET
    assert (isinstance(complete.label_set, tuple), gaps.label_set) == (True, None)


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact", "flchain_artifact"])
def test_reasons_are_the_strongest_contributions(fixture: str, request: pytest.FixtureRequest) -> None:
    """The fields with the largest contributions to the log-odds come first, exact to three decimals."""
    artifact: Artifact = request.getfixturevalue(fixture)
    scorer = Scorer(artifact)
    engine, rows = build_engine(artifact, scorer.compiled).engine, rows_for(scorer)
    found = engine.explain(rows).contributions
    assert found is not None
    for score, row in zip(scores_of(rows, scorer), np.round(found, 3).tolist(), strict=True):
        by_strength = sorted(zip(engine.fields, row, strict=True), key=lambda pair: -abs(pair[1]))[:3]
        assert score.reasons == tuple(Reason(name, log_odds) for name, log_odds in by_strength)


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact"])
def test_all_reasons_explain_the_whole_risk(fixture: str, request: pytest.FixtureRequest) -> None:
    """Thirteen reasons plus the average patient's log-odds add up to the risk."""
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
    """A sub-model has a pattern; a model that imputes has none and warns of each imputed field."""
    rows = every_missing_pattern()
    expected = [pattern_name(pattern) for pattern in patterns_of(rows).tolist()]
    assert expected == [score.pattern for score in scores_of(rows, pattern_scorer)]
    assert {None} == {score.pattern for score in scores_of(rows, scorer)}
    imputed = [[str(warning.code) for warning in score.warnings].count("imputed") for score in scores_of(rows, scorer)]
    assert [len(score.missing) for score in scores_of(rows, scorer)] == imputed
    assert not [w for score in scores_of(rows, pattern_scorer) for w in score.warnings if w.code == "imputed"]


def test_boosted_trees_impute_nothing_and_have_no_submodel(boosted_artifact: Artifact) -> None:
    """Nothing warns of missing fields, and no pattern is named."""
    for score in scores_of(every_missing_pattern(), Scorer(boosted_artifact)):
        assert score.pattern is None
        assert "imputed" not in {str(warning.code) for warning in score.warnings}


@pytest.mark.parametrize("details", SWITCHES)
@pytest.mark.parametrize("fixture", ["pattern_artifact", "forest_artifact"])
def test_switched_off_details_are_absent_and_change_nothing_else(
    fixture: str, details: Details, request: pytest.FixtureRequest
) -> None:
    """The remaining details have the same bytes as before."""
    artifact: Artifact = request.getfixturevalue(fixture)
    rows = EVERYTHING[::40]
    whole = scores_of(rows, Scorer(artifact, Details(reasons=13)))
    for score, full in zip(scores_of(rows, Scorer(artifact, details)), whole, strict=True):
        reasons = full.reasons[: details.reasons] if isinstance(full.reasons, tuple) else full.reasons
        expected = msgspec.structs.replace(
            full,
            measure_next=full.measure_next if details.measure_next else msgspec.UNSET,
            interval=full.interval if details.interval else msgspec.UNSET,
            sampling_interval=full.sampling_interval if details.interval else msgspec.UNSET,
            label_set=full.label_set if details.label_set else msgspec.UNSET,
            reasons=reasons if details.reasons else msgspec.UNSET,
        )
        assert expected == score
