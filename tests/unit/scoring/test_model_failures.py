"""A record that the model fails on is set aside alone; a model that fails on all is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.errors import ArtifactError, RejectionCode
from scoring.features import Matrix
from scoring.model_artifact import Artifact
from scoring.scorer import Scorer
from tests.support.models import (
    Spoiled,
    Switch,
    as_values,
    gives,
    gives_on,
    raises,
    raises_on,
    random_rows,
    reference,
    with_classifier,
)
from tests.support.outcomes import Outcome, Rejected, Scored, process

ROWS = random_rows(2000, seed=3)
BATCH = as_values(ROWS)
SPOILS = {
    "raises": raises_on,
    "nan": lambda culprits: gives_on(culprits, float("nan")),
    "infinity": lambda culprits: gives_on(culprits, float("inf")),
    "above-one": lambda culprits: gives_on(culprits, 1.01),
    "below-zero": lambda culprits: gives_on(culprits, -0.01),
}
each_spoil = pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
each_failure = pytest.mark.parametrize(
    "failure", [raises, gives(float("nan")), gives(2.0)], ids=["raises", "nan", "above-one"]
)


def spoiled_scorer(artifact: Artifact, spoil: Any) -> Scorer:
    return Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, spoil)))


def preprocessed(artifact: Artifact, places: list[int]) -> Matrix:
    return artifact.fitted().preprocessor.transform(ROWS[places])


def outcomes_of(batch: list[bytes], scorer: Scorer) -> list[Outcome]:
    return process(batch, [None] * len(batch), scorer)


def codes(outcome: Outcome) -> list[RejectionCode]:
    return [issue.code for issue in outcome.issues] if isinstance(outcome, Rejected) else []


@each_spoil
@pytest.mark.parametrize("places", [[0], [1234], [1999], [7, 8, 999, 1500]], ids=str)
def test_record_that_the_model_fails_on_is_rejected_alone(
    linear_artifact: Artifact, spoil: Any, places: list[int]
) -> None:
    """In a batch of 2,000, exactly the culprits are rejected, as failures of the model."""
    outcomes = outcomes_of(BATCH, spoiled_scorer(linear_artifact, spoil(preprocessed(linear_artifact, places))))
    rejected = {place: codes(outcome) for place, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)}
    assert {place: [RejectionCode.MODEL_FAILURE] for place in places} == rejected


@each_spoil
def test_culprit_changes_no_other_score(linear_artifact: Artifact, spoil: Any) -> None:
    """The other 1,999 records have the bytes that they have without the culprit."""
    scorer = spoiled_scorer(linear_artifact, spoil(preprocessed(linear_artifact, [1234])))
    others = outcomes_of(BATCH[:1234] + BATCH[1235:], scorer)
    together = outcomes_of(BATCH, scorer)
    assert others == together[:1234] + together[1235:]
    assert all(isinstance(outcome, Scored) for outcome in others)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_culprit_is_found_in_a_batch_of_any_size(linear_artifact: Artifact, size: int) -> None:
    """A batch that is the culprit, or little more, is no special case."""
    scorer = spoiled_scorer(linear_artifact, raises_on(preprocessed(linear_artifact, [0])))
    outcomes = outcomes_of(BATCH[:size], scorer)
    assert [[RejectionCode.MODEL_FAILURE]] + [[]] * (size - 1) == [codes(outcome) for outcome in outcomes]


def test_message_of_a_model_failure_gives_nothing_away(linear_artifact: Artifact) -> None:
    """The exception of a model may quote the record, so its text goes nowhere."""
    scorer = spoiled_scorer(linear_artifact, raises_on(preprocessed(linear_artifact, [0])))
    (outcome,) = outcomes_of(BATCH[:1], scorer)
    assert isinstance(outcome, Rejected)
    assert [(f.pointer, f.message) for f in outcome.issues] == [("", "the model could not score this record")]


@each_failure
def test_model_that_fails_on_everything_is_refused(linear_artifact: Artifact, failure: Any) -> None:
    """When the model breaks under way, no record is blamed: the batch has no outcome at all."""
    switch = Switch(failure)
    scorer = spoiled_scorer(linear_artifact, switch)
    switch.thrown = True
    with pytest.raises(ArtifactError, match="no longer reproduces its own results"):
        outcomes_of(BATCH[:50], scorer)


@each_failure
def test_model_that_fails_from_the_start_is_not_loaded(linear_artifact: Artifact, failure: Any) -> None:
    """A model that makes no risks of the reference cases is an ArtifactError when it is loaded."""
    with pytest.raises(ArtifactError):
        spoiled_scorer(linear_artifact, failure)


def test_model_that_drifted_is_refused_when_it_fails(linear_artifact: Artifact) -> None:
    """A model that fails on a record is blamed itself if it gives the reference cases other risks than before."""
    culprit = preprocessed(linear_artifact, [0])
    switch = Switch(lambda inputs, probabilities: gives_on(culprit, float("nan"))(inputs, probabilities * 0.9))
    scorer = spoiled_scorer(linear_artifact, switch)
    switch.thrown = True
    with pytest.raises(ArtifactError):
        outcomes_of(BATCH[:2], scorer)


def test_unreadable_records_need_no_model(linear_artifact: Artifact) -> None:
    """A broken model is not asked about records that are rejected anyway."""
    switch = Switch(raises)
    scorer = spoiled_scorer(linear_artifact, switch)
    switch.thrown = True
    assert [codes(outcome) for outcome in process([None], [None], scorer)] == [[RejectionCode.EMPTY_VALUE]]


def test_sound_model_is_sound(scorer: Scorer, forest_scorer: Scorer) -> None:
    """A model that works reproduces its reference risks, before and after it has scored."""
    before = [scorer.self_check(), forest_scorer.self_check()]
    outcomes_of(BATCH[:100], scorer)
    outcomes_of(BATCH[:100], forest_scorer)
    assert [*before, scorer.self_check(), forest_scorer.self_check()] == [True] * 4


@each_failure
def test_broken_model_is_not_sound(linear_artifact: Artifact, failure: Any) -> None:
    """A model that breaks says so when it is asked, and does not raise."""
    switch = Switch(failure)
    scorer = spoiled_scorer(linear_artifact, switch)
    before, switch.thrown = scorer.self_check(), True
    assert (before, scorer.self_check()) == (True, False)


def test_spoiled_classifier_is_the_trained_one_until_it_is_spoiled(linear_artifact: Artifact) -> None:
    """The fakes of these tests change nothing but what they say."""
    scorer = spoiled_scorer(linear_artifact, Switch(raises))
    np.testing.assert_array_equal(np.round(reference(linear_artifact, ROWS), 6), scorer.risks(ROWS))
