"""Laws of the model in use: another takes over between two batches, and no record pays for a bad one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from heartstream.cli.model import sign
from schemas.errors import ArtifactError
from scoring import model_manager
from scoring.isolated_load import Proof, prove
from scoring.model_artifact import Artifact, load
from scoring.model_manager import TRIAL_RECORDS, Facts, Follower, ModelManager, ModelSource
from scoring.scorer import Scorer
from tests.support.model_files import Runs, with_only_pickles
from tests.support.models import (
    Spoiled,
    Switch,
    another_version,
    as_values,
    gives,
    gives_on,
    raises,
    random_rows,
    with_classifier,
    with_exchanged_labels,
)
from tests.support.outcomes import Outcome, Scored, process
from tests.support.signing_keys import Keys

ROWS = random_rows(500, seed=5)
BATCH = as_values(ROWS)
LIMIT = 0.25


class Told:
    """What was told of withdrawn models."""

    def __init__(self) -> None:
        self.reasons: list[tuple[str, str]] = []

    def __call__(self, facts: Facts, reason: str) -> None:
        self.reasons.append((facts.digest, reason))


class Place:
    """A link to one model directory, which may be moved to others."""

    def __init__(self, folder: Path, model_dir: Path) -> None:
        self.folder, self.model_dir, self.link = folder, model_dir, folder / "current"
        self.link.symlink_to(model_dir)
        self.source = ModelSource(self.link, window_records=1_000)
        self.manager = ModelManager(self.source.load(), LIMIT)
        self.follower = Follower(self.source, self.manager)

    def holds(self, model: Path) -> None:
        self.link.unlink()
        self.link.symlink_to(model)

    def refusal(self) -> str:
        with pytest.raises(ArtifactError) as caught:
            self.follower.find_update()()
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path, model_dir: Path) -> Place:
    return Place(tmp_path, model_dir)


@pytest.fixture(scope="module")
def artifact(model_dir: Path) -> Artifact:
    return load(model_dir)


def outcomes_of(batch: list[bytes], scorer: Scorer) -> list[Outcome]:
    return process(batch, [None] * len(batch), scorer)


def served(manager: ModelManager, batch: list[bytes] = BATCH) -> list[Outcome]:
    return process(batch, [None] * len(batch), manager)


def test_a_candidate_takes_over_from_the_next_batch_on(place: Place, tmp_path: Path) -> None:
    """Each batch has the bytes of the model in use then; the trial changes none of them."""
    place.holds(another_version(place.model_dir, tmp_path / "other", "2"))
    before, candidate = place.manager.scorer, place.follower.find_update()()
    assert candidate is not None
    assert served(place.manager) == outcomes_of(BATCH, before)
    facts = place.follower.swap(candidate)
    for _ in range(0, 2 * TRIAL_RECORDS, len(BATCH)):
        assert served(place.manager) == outcomes_of(BATCH, candidate)
    assert (facts.version, facts.digest) == ("2", place.source.digest())


def test_nothing_is_to_be_done_where_nothing_changed(place: Place) -> None:
    """The model in use is no candidate."""
    assert place.follower.find_update()() is None


def test_a_candidate_whose_risks_jump_is_refused(place: Place, tmp_path: Path) -> None:
    """Exchanged labels are found on the last records before any is scored so; without records nothing is known."""
    place.holds(with_exchanged_labels(place.model_dir, tmp_path / "exchanged"))
    assert place.follower.find_update()() is not None
    for start in range(0, len(BATCH), 50):
        served(place.manager, BATCH[start : start + 50])
    assert "on average from those of the other model, more than 0.25" in place.refusal()


def test_a_model_that_has_just_come_does_not_let_a_bad_one_in(place: Place, tmp_path: Path) -> None:
    """It has scored nothing yet: the next candidate is held against it on the records of the model before."""
    for start in range(0, len(BATCH), 50):
        served(place.manager, BATCH[start : start + 50])
    place.follower.swap(Scorer.from_directory(another_version(place.model_dir, tmp_path / "other", "2")))
    place.holds(with_exchanged_labels(place.model_dir, tmp_path / "exchanged"))
    assert "the risks of 500 records differ" in place.refusal()


def test_a_broken_candidate_is_refused_until_it_is_whole(place: Place, tmp_path: Path) -> None:
    """A model that is still being copied is refused with its reason, and taken when its last byte is there."""
    other = another_version(place.model_dir, tmp_path / "other", "2")
    whole = (other / "pattern_submodels.json").read_bytes()
    (other / "pattern_submodels.json").write_bytes(whole[:-1])
    place.holds(other)
    first = place.refusal()
    assert f"pattern_submodels.json: has {len(whole) - 1} bytes" in first
    assert place.refusal() == first
    (other / "pattern_submodels.json").write_bytes(whole)
    assert place.follower.find_update()() is not None


@pytest.mark.parametrize("signed", [False, True])
def test_what_is_loaded_is_what_was_proved(
    place: Place, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch, *, signed: bool
) -> None:
    """A link that moves between proof and loading is noticed before anything of its new target is opened."""
    other, hostile = (another_version(place.model_dir, tmp_path / name, name) for name in ("2", "3"))
    with_only_pickles(hostile, Runs(os.system, f"touch {tmp_path / 'sprung'}"))
    if signed:
        for folder in (other, hostile):
            sign(folder, key=keys.private)
    place.holds(other)

    def prove_and_move(*arguments: Any) -> Proof:
        proof = prove(*arguments)
        place.holds(hostile)
        return proof

    monkeypatch.setattr(model_manager, "prove", prove_and_move)
    source = msgspec.structs.replace(place.source, public_key=keys.public if signed else None)
    assert source.load_proved().model.version == "2"
    assert not (tmp_path / "sprung").exists()


def test_a_model_that_changes_while_it_is_proved_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole SHA-256 counts, not the digits that are shown."""
    place.holds(another_version(place.model_dir, tmp_path / "2", "2"))

    def prove_another(*arguments: Any) -> Proof:
        proof = prove(*arguments)
        return msgspec.structs.replace(proof, sha256=proof.sha256[:-1] + "g")

    monkeypatch.setattr(model_manager, "prove", prove_another)
    assert "changed while it was proved" in place.refusal()


def test_a_place_without_a_model_is_refused(place: Place, tmp_path: Path) -> None:
    """A link to nowhere has no model; what is served stays."""
    place.holds(tmp_path / "nowhere")
    assert place.refusal().startswith(f"no model at {place.link}: cannot read manifest.json (No such file")
    assert isinstance(served(place.manager)[0], Scored)


def swapped(first: Scorer, second: Scorer, told: Told) -> ModelManager:
    manager = ModelManager(first, LIMIT, told)
    manager.swap(second)
    return manager


def test_a_model_that_breaks_on_trial_goes_and_no_record_pays(artifact: Artifact) -> None:
    """The batch at hand has the scores of the model before, and so has what follows."""
    switch, told, before = Switch(raises), Told(), Scorer(artifact)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    manager = swapped(before, broken, told)
    switch.thrown = True
    assert served(manager) == outcomes_of(BATCH, before) == served(manager)
    reason = "the model no longer reproduces its own results on reference cases"
    assert (manager.scorer, told.reasons) == (before, [(before.model.digest, reason)])


def test_a_model_that_fails_on_some_records_goes(artifact: Artifact) -> None:
    """One record that the model before can score is enough."""
    told, before = Told(), Scorer(artifact)
    culprits = artifact.fitted().preprocessor.transform(ROWS[[7]])
    spoiled = Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan")))
    manager = swapped(before, Scorer(with_classifier(artifact, spoiled)), told)
    assert served(manager) == outcomes_of(BATCH, before)
    assert [reason for _, reason in told.reasons] == ["it fails on records that the other model can score"]


def test_records_that_neither_model_can_score_do_not_send_it_away(artifact: Artifact) -> None:
    """They are dead letters, as they were."""
    told = Told()
    culprits = artifact.fitted().preprocessor.transform(ROWS[[7]])
    spoiled = with_classifier(artifact, Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan"))))
    before, after = Scorer(spoiled), Scorer(spoiled)
    manager = swapped(before, after, told)
    assert served(manager) == outcomes_of(BATCH, after)
    assert (manager.scorer, told.reasons) == (after, [])


def test_a_jump_is_found_at_the_end_of_the_trial(place: Place, tmp_path: Path) -> None:
    """Where no records had come before the swap, those of the trial tell; the model is not taken again."""
    told = Told()
    exchanged = with_exchanged_labels(place.model_dir, tmp_path / "exchanged")
    manager = ModelManager(place.manager.scorer, LIMIT, told)
    follower, before = Follower(place.source, manager), manager.scorer
    place.holds(exchanged)
    candidate = follower.find_update()()
    assert candidate is not None
    follower.swap(candidate)
    records = 0
    while manager.scorer is candidate and records < 2 * TRIAL_RECORDS:
        outcomes = served(manager, BATCH[:100])
        records += 100
    assert (records, outcomes) == (TRIAL_RECORDS, outcomes_of(BATCH[:100], before))
    assert [digest for digest, _ in told.reasons] == [before.model.digest]
    with pytest.raises(ArtifactError, match="was withdrawn: the risks of"):
        follower.find_update()()


def test_a_trial_ends(artifact: Artifact) -> None:
    """A model that breaks later is broken: then nothing is right but to stop."""
    switch = Switch(gives(2.0))
    second = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    manager = swapped(Scorer(artifact), second, Told())
    for _ in range(0, TRIAL_RECORDS, len(BATCH)):
        served(manager)
    switch.thrown = True
    with pytest.raises(ArtifactError, match="no longer reproduces"):
        served(manager)


def test_large_batches_lengthen_the_trial(place: Place, tmp_path: Path) -> None:
    """A window sees 64 records of a batch: the trial lasts until there are enough of them to judge by."""
    manager, told = place.manager, Told()
    manager = ModelManager(manager.scorer, LIMIT, told)
    manager.swap(Scorer(load(with_exchanged_labels(place.model_dir, tmp_path / "exchanged")), window_records=1_000))
    large = as_values(random_rows(TRIAL_RECORDS, seed=6))
    batches = 0
    while not told.reasons and batches < 10:
        served(manager, large)
        batches += 1
    assert batches == int(np.ceil(200 / 63))


def test_digest_is_that_of_the_manifest(place: Place) -> None:
    """What is looked at cheaply is what loading finds."""
    assert place.source.digest() == place.manager.scorer.model.digest
