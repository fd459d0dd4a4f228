"""Laws of which score an outcome belongs to."""

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
        join.note(seen, moment)
    return join.joined()


def risks(found: Joined) -> dict[str, list[tuple[float, int]]]:
    return {model.digest[0]: [(pair.risk, pair.outcome) for pair in pairs] for model, pairs in found.pairs.items()}


SCORES = [
    (score("p", 0.1), (100, 0, 0)),
    (score("p", 0.2, OTHER), (200, 1, 0)),
    (score("p", 0.3, Source("patients", 1, 1)), (300, 0, 1)),
]


@pytest.mark.parametrize("seed", range(6))
def test_without_a_source_it_is_the_last_score_that_is_not_later(seed: int) -> None:
    """In whatever order the scores are read: 250 comes after the second, 300 with the third, 50 before all."""
    order = random.Random(seed).sample(SCORES, 3)  # noqa: S311  # for variety, not for secrets
    assert risks(joined([outcome("p", 1, 250)], order)) == {"a": [(0.2, 1)]}
    assert risks(joined([outcome("p", 0, 300)], order)) == {"a": [(0.3, 0)]}
    assert joined([outcome("p", 1, 50)], order).left_out == LeftOut(without_score=1)


def test_two_outcomes_of_two_scores_are_two() -> None:
    """A patient who comes again has an outcome each time; they stand in the order in which they became known."""
    found = joined([outcome("p", 1, 310), outcome("p", 0, 150)], SCORES)
    assert (risks(found), found.left_out) == ({"a": [(0.1, 0), (0.3, 1)]}, LeftOut())


def test_a_source_names_the_score() -> None:
    """Even where the patient has later ones."""
    assert risks(joined([outcome("p", 1, 1_000, RECORD)], SCORES)) == {"a": [(0.1, 1)]}


def test_a_record_that_two_models_scored_tells_of_both() -> None:
    """By source it belongs to each of them, by patient to the last alone: models are never mixed."""
    scores = [(score("p", 0.1), (100, 0, 0)), (score("p", 0.6, model=B), (200, 0, 1))]
    assert risks(joined([outcome("p", 1, 300, RECORD)], scores)) == {"a": [(0.1, 1)], "b": [(0.6, 1)]}
    assert risks(joined([outcome("p", 1, 300)], scores)) == {"b": [(0.6, 1)]}


def test_a_score_that_comes_again_is_one_score() -> None:
    """After a crash a score is there twice: the outcome counts once."""
    scores = [(score("p", 0.1), (100, 0, 0)), (score("p", 0.1), (101, 0, 1))]
    for source in (RECORD, None):
        found = joined([outcome("p", 1, 300, source)], scores)
        assert (risks(found), found.left_out) == ({"a": [(0.1, 1)]}, LeftOut())


def test_what_is_said_again_counts_once() -> None:
    """By patient or by source: both name the same score."""
    found = joined([outcome("p", 1, 120), outcome("p", 1, 130), outcome("p", 1, 140, RECORD)], SCORES)
    assert (risks(found), found.left_out) == ({"a": [(0.1, 1)]}, LeftOut(repeated=2))


def test_contradictions_leave_the_score_out() -> None:
    """Two agree and one does not: none of the three counts, and other scores do."""
    said = [outcome("p", 1, 120), outcome("p", 1, 130), outcome("p", 0, 140), outcome("p", 0, 250)]
    found = joined(said, SCORES)
    assert (risks(found), found.left_out) == ({"a": [(0.2, 0)]}, LeftOut(contradictory=3))


def test_a_record_of_another_patient_is_none_of_this_one() -> None:
    """A producer that mixes up patients is told."""
    found = joined([outcome("q", 1, 300, RECORD)], SCORES)
    assert (risks(found), found.left_out) == ({}, LeftOut(other_patient=1))


def test_without_a_timestamp_the_last_score_is_taken() -> None:
    """A topic may have no times: nothing is later than no time."""
    assert risks(joined([outcome("p", 1, -1)], SCORES)) == {"a": [(0.3, 1)]}


def test_no_score_but_theirs_is_held() -> None:
    """Memory grows with outcomes: of 10,000 scores of others nothing is kept."""
    join = Join([outcome("p", 1, 300)])
    for number in range(10_000):
        join.note(score(f"x-{number}", 0.5, Source("patients", 0, number)), (number, 0, number))
    assert (len(join._last), len(join._named), len(join._patients)) == (0, 0, 0)
