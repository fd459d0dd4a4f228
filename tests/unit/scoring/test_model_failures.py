"""A record that the model fails on is rejected alone; a model that fails on every record is refused."""

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
    """In a batch of 2,000 exactly the failing records are rejected, as model failures."""
    outcomes = outcomes_of(BATCH, spoiled_scorer(linear_artifact, spoil(preprocessed(linear_artifact, places))))
    rejected = {place: codes(outcome) for place, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)}
    assert {place: [RejectionCode.MODEL_FAILURE] for place in places} == rejected


@each_spoil
def test_failing_record_changes_no_other_score(linear_artifact: Artifact, spoil: Any) -> None:
    """The other 1,999 records have the same bytes as without it."""
    scorer = spoiled_scorer(linear_artifact, spoil(preprocessed(linear_artifact, [1234])))
    others = outcomes_of(BATCH[:1234] + BATCH[1235:], scorer)
    together = outcomes_of(BATCH, scorer)
    assert others == together[:1234] + together[1235:]
    assert all(isinstance(outcome, Scored) for outcome in others)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_failing_record_is_found_in_a_batch_of_any_size(linear_artifact: Artifact, size: int) -> None:
    """A batch of just the failing record, or little more, is not a special case."""
    scorer = spoiled_scorer(linear_artifact, raises_on(preprocessed(linear_artifact, [0])))
    outcomes = outcomes_of(BATCH[:size], scorer)
    assert [[RejectionCode.MODEL_FAILURE]] + [[]] * (size - 1) == [codes(outcome) for outcome in outcomes]


def test_message_of_a_model_failure_contains_no_record(linear_artifact: Artifact) -> None:
    """A model's exception may quote the record, so its text is not used."""
    scorer = spoiled_scorer(linear_artifact, raises_on(preprocessed(linear_artifact, [0])))
    (outcome,) = outcomes_of(BATCH[:1], scorer)
    assert isinstance(outcome, Rejected)
    assert [(f.pointer, f.message) for f in outcome.issues] == [("", "the model could not score this record")]


@each_failure
def test_model_that_fails_on_everything_is_refused(linear_artifact: Artifact, failure: Any) -> None:
    """If the model breaks while serving no record is rejected: the batch fails as a whole."""
    switch = Switch(failure)
    scorer = spoiled_scorer(linear_artifact, switch)
    switch.thrown = True
    with pytest.raises(ArtifactError, match="no longer reproduces its own results"):
        outcomes_of(BATCH[:50], scorer)


@each_failure
def test_model_that_fails_from_the_start_is_not_loaded(linear_artifact: Artifact, failure: Any) -> None:
    """A model that cannot score the reference cases is an ArtifactError at loading."""
    with pytest.raises(ArtifactError):
        spoiled_scorer(linear_artifact, failure)


def test_model_whose_risks_changed_is_refused_when_it_fails(linear_artifact: Artifact) -> None:
    """If a record fails, the model is the cause if it no longer reproduces its reference risks."""
    culprit = preprocessed(linear_artifact, [0])
    switch = Switch(lambda inputs, probabilities: gives_on(culprit, float("nan"))(inputs, probabilities * 0.9))
    scorer = spoiled_scorer(linear_artifact, switch)
    switch.thrown = True
    with pytest.raises(ArtifactError):
        outcomes_of(BATCH[:2], scorer)


def test_rejected_records_need_no_model(linear_artifact: Artifact) -> None:
    """A broken model is not asked about records that validation rejects."""
    switch = Switch(raises)
    scorer = spoiled_scorer(linear_artifact, switch)
    switch.thrown = True
    assert [codes(outcome) for outcome in process([None], [None], scorer)] == [[RejectionCode.EMPTY_VALUE]]


def test_working_model_passes_its_self_check(scorer: Scorer, forest_scorer: Scorer) -> None:
    """It reproduces its reference risks before and after it has scored."""
    before = [scorer.self_check(), forest_scorer.self_check()]
    outcomes_of(BATCH[:100], scorer)
    outcomes_of(BATCH[:100], forest_scorer)
    assert [*before, scorer.self_check(), forest_scorer.self_check()] == [True] * 4


@each_failure
def test_broken_model_fails_its_self_check(linear_artifact: Artifact, failure: Any) -> None:
    """The self-check returns false and does not raise."""
    switch = Switch(failure)
    scorer = spoiled_scorer(linear_artifact, switch)
    before, switch.thrown = scorer.self_check(), True
    assert (before, scorer.self_check()) == (True, False)


def test_fake_classifier_is_the_trained_one_until_it_fails(linear_artifact: Artifact) -> None:
    """The fakes of these tests change nothing but the failures."""
    scorer = spoiled_scorer(linear_artifact, Switch(raises))
    np.testing.assert_array_equal(np.round(reference(linear_artifact, ROWS), 6), scorer.risks(ROWS))
