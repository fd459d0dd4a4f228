"""Which score a known outcome belongs to."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from heartstream.monitoring.outcomes.join import DatedOutcome, Join, Joined, LeftOut, Moment, SeenScore
from schemas.records import KnownOutcome, ModelRef, Source

A, B = ModelRef("m", "1", "a" * 16), ModelRef("m", "2", "b" * 16)
RECORD, OTHER = Source("patients", 0, 7), Source("patients", 0, 8)


def score(patient: str, risk: float, source: Source | None = RECORD, model: ModelRef = A) -> SeenScore:
    return SeenScore(patient, risk, model, source)


def outcome(patient: str, found: int, time: int, source: Source | None = None, offset: int = 0) -> DatedOutcome:
    return DatedOutcome((time, 0, offset), KnownOutcome(patient, found, source))


def joined(outcomes: Sequence[DatedOutcome], scores: Sequence[tuple[SeenScore, Moment]]) -> Joined:
    join = Join(outcomes)
    for seen, moment in scores:
        join.add(seen, moment)
    return join.joined()


def risks(found: Joined) -> dict[str, list[tuple[float, int]]]:
    return {model.digest[0]: [(pair.risk, pair.outcome) for pair in pairs] for model, pairs in found.pairs.items()}


SCORES = [
    (score("p", 0.1), (100, 0, 0)),
    (score("p", 0.2, OTHER), (200, 1, 0)),
    (score("p", 0.3, Source("patients", 1, 1)), (300, 0, 1)),
]


@pytest.mark.parametrize("seed", range(6))
def test_without_a_source_it_is_the_last_score_before_the_outcome(seed: int) -> None:
    """In any reading order: 250 follows the second score, 300 has the time of the third, 50 precedes all."""
    order = random.Random(seed).sample(SCORES, 3)  # noqa: S311  # for variety, not for secrets
    assert risks(joined([outcome("p", 1, 250)], order)) == {"a": [(0.2, 1)]}
    assert risks(joined([outcome("p", 0, 300)], order)) == {"a": [(0.3, 0)]}
    assert joined([outcome("p", 1, 50)], order).left_out == LeftOut(without_score=1)


def test_two_outcomes_of_two_scores_are_two() -> None:
    """A returning patient has an outcome per score, in the order in which they became known."""
    found = joined([outcome("p", 1, 310), outcome("p", 0, 150)], SCORES)
    assert (risks(found), found.left_out) == ({"a": [(0.1, 0), (0.3, 1)]}, LeftOut())


def test_a_source_selects_the_score() -> None:
    """Even if the patient has later ones."""
    assert risks(joined([outcome("p", 1, 1_000, RECORD)], SCORES)) == {"a": [(0.1, 1)]}


def test_an_outcome_by_source_counts_for_both_models() -> None:
    """By patient it counts for the last score only: models are never mixed."""
    scores = [(score("p", 0.1), (100, 0, 0)), (score("p", 0.6, model=B), (200, 0, 1))]
    assert risks(joined([outcome("p", 1, 300, RECORD)], scores)) == {"a": [(0.1, 1)], "b": [(0.6, 1)]}
    assert risks(joined([outcome("p", 1, 300)], scores)) == {"b": [(0.6, 1)]}


def test_a_repeated_score_counts_once() -> None:
    """After a crash a score can be in the topic twice."""
    scores = [(score("p", 0.1), (100, 0, 0)), (score("p", 0.1), (101, 0, 1))]
    for source in (RECORD, None):
        found = joined([outcome("p", 1, 300, source)], scores)
        assert (risks(found), found.left_out) == ({"a": [(0.1, 1)]}, LeftOut())


def test_a_repeated_outcome_counts_once() -> None:
    """By patient or by source, if both refer to the same score."""
    found = joined([outcome("p", 1, 120), outcome("p", 1, 130), outcome("p", 1, 140, RECORD)], SCORES)
    assert (risks(found), found.left_out) == ({"a": [(0.1, 1)]}, LeftOut(repeated=2))


def test_contradictory_outcomes_exclude_their_score() -> None:
    """If two of three agree none of them counts; other scores are not affected."""
    said = [outcome("p", 1, 120), outcome("p", 1, 130), outcome("p", 0, 140), outcome("p", 0, 250)]
    found = joined(said, SCORES)
    assert (risks(found), found.left_out) == ({"a": [(0.2, 0)]}, LeftOut(contradictory=3))


def test_a_source_of_another_patient_is_excluded() -> None:
    """A producer that mixes up patients is reported."""
    found = joined([outcome("q", 1, 300, RECORD)], SCORES)
    assert (risks(found), found.left_out) == ({}, LeftOut(other_patient=1))


def test_without_a_timestamp_the_last_score_is_used() -> None:
    """A topic may have no timestamps, and then none is later."""
    assert risks(joined([outcome("p", 1, -1)], SCORES)) == {"a": [(0.3, 1)]}


def test_only_scores_with_outcomes_are_kept() -> None:
    """Memory grows with the outcomes: of 10,000 scores of other patients none is kept."""
    join = Join([outcome("p", 1, 300)])
    for number in range(10_000):
        join.add(score(f"x-{number}", 0.5, Source("patients", 0, number)), (number, 0, number))
    assert (len(join._last), len(join._named), len(join._patients)) == (0, 0, 0)
