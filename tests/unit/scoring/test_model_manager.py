"""A model is swapped between two batches, and no record is affected by an invalid one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from heartstream.cli.model import sign
from schemas.errors import ArtifactError
from schemas.tables.builtin import UCI_HEART
from scoring import model_source
from scoring.isolated_load import VerifiedModel, verify_model
from scoring.model_artifact import Artifact, load
from scoring.model_manager import TRIAL_RECORDS, Facts, ModelManager, UpdateFinder
from scoring.model_source import ModelSource
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
from tests.support.other_tables import write_model_of
from tests.support.outcomes import Outcome, Scored, process
from tests.support.signing_keys import Keys

ROWS = random_rows(500, seed=5)
BATCH = as_values(ROWS)
LIMIT = 0.25


class Withdrawals:
    """The withdrawals that were reported."""

    def __init__(self) -> None:
        self.reasons: list[tuple[str, str]] = []

    def __call__(self, facts: Facts, reason: str) -> None:
        self.reasons.append((facts.digest, reason))


class ModelLink:
    """A link to a model directory, which can be moved to others."""

    def __init__(self, folder: Path, model_dir: Path) -> None:
        self.folder, self.model_dir, self.link = folder, model_dir, folder / "current"
        self.link.symlink_to(model_dir)
        self.source = ModelSource(self.link, window_records=1_000)
        self.manager = ModelManager(self.source.load(), LIMIT)
        self.follower = UpdateFinder(self.source, self.manager)

    def holds(self, model: Path) -> None:
        self.link.unlink()
        self.link.symlink_to(model)

    def refusal(self) -> str:
        with pytest.raises(ArtifactError) as caught:
            self.follower.find_update()()
        return str(caught.value)


@pytest.fixture
def model_link(tmp_path: Path, model_dir: Path) -> ModelLink:
    return ModelLink(tmp_path, model_dir)


@pytest.fixture(scope="module")
def artifact(model_dir: Path) -> Artifact:
    return load(model_dir)


def outcomes_of(batch: list[bytes], scorer: Scorer) -> list[Outcome]:
    return process(batch, [None] * len(batch), scorer)


def served(manager: ModelManager, batch: list[bytes] = BATCH) -> list[Outcome]:
    return process(batch, [None] * len(batch), manager)


def test_a_candidate_takes_over_from_the_next_batch_on(model_link: ModelLink, tmp_path: Path) -> None:
    """Each batch has the bytes of the model in use then; the trial changes none of them."""
    model_link.holds(another_version(model_link.model_dir, tmp_path / "other", "2"))
    before, candidate = model_link.manager.scorer, model_link.follower.find_update()()
    assert candidate is not None
    assert served(model_link.manager) == outcomes_of(BATCH, before)
    facts = model_link.follower.swap(candidate)
    for _ in range(0, 2 * TRIAL_RECORDS, len(BATCH)):
        assert served(model_link.manager) == outcomes_of(BATCH, candidate)
    assert (facts.version, facts.digest) == ("2", model_link.source.digest())


def test_an_unchanged_model_is_not_a_candidate(model_link: ModelLink) -> None:
    """Without a change of the directory there is no update."""
    assert model_link.follower.find_update()() is None


def test_a_candidate_whose_risks_shift_is_refused(model_link: ModelLink, tmp_path: Path) -> None:
    """Exchanged labels are detected on recent records before any record is scored; without records they are not."""
    model_link.holds(with_exchanged_labels(model_link.model_dir, tmp_path / "exchanged"))
    assert model_link.follower.find_update()() is not None
    for start in range(0, len(BATCH), 50):
        served(model_link.manager, BATCH[start : start + 50])
    assert "on average from those of the other model, more than 0.25" in model_link.refusal()


def test_a_candidate_with_another_feature_table_is_refused(
    model_link: ModelLink, flchain_dir: Path, tmp_path: Path
) -> None:
    """The reason names both tables, or says that only the content differs."""
    digest = ModelSource(flchain_dir).digest()
    model_link.holds(flchain_dir)
    assert model_link.refusal() == (
        f"model {digest}: its feature table is flchain-2012/1, not uci-heart-1988/1: serve it apart, with topics of "
        "its own"
    )
    changed = write_model_of(msgspec.structs.replace(UCI_HEART, title="Another"), tmp_path / "changed")
    model_link.holds(changed)
    assert model_link.refusal().endswith("its feature table has the name uci-heart-1988/1 as well, but another content")


def test_a_candidate_is_compared_on_records_of_the_previous_model(model_link: ModelLink, tmp_path: Path) -> None:
    """The current model has scored nothing yet: the next candidate is compared on its predecessor's records."""
    for start in range(0, len(BATCH), 50):
        served(model_link.manager, BATCH[start : start + 50])
    model_link.follower.swap(Scorer.from_directory(another_version(model_link.model_dir, tmp_path / "other", "2")))
    model_link.holds(with_exchanged_labels(model_link.model_dir, tmp_path / "exchanged"))
    assert "the risks of 500 records differ" in model_link.refusal()


def test_an_incomplete_candidate_is_refused_until_it_is_complete(model_link: ModelLink, tmp_path: Path) -> None:
    """A model that is still being copied is refused with the reason, and accepted once its last byte is written."""
    other = another_version(model_link.model_dir, tmp_path / "other", "2")
    whole = (other / "pattern_submodels.json").read_bytes()
    (other / "pattern_submodels.json").write_bytes(whole[:-1])
    model_link.holds(other)
    first = model_link.refusal()
    assert f"pattern_submodels.json: has {len(whole) - 1} bytes" in first
    assert model_link.refusal() == first
    (other / "pattern_submodels.json").write_bytes(whole)
    assert model_link.follower.find_update()() is not None


@pytest.mark.parametrize("signed", [False, True])
def test_the_loaded_model_is_the_verified_one(
    model_link: ModelLink, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch, *, signed: bool
) -> None:
    """A link that moves between verification and loading is detected before its new target is opened."""
    other, hostile = (another_version(model_link.model_dir, tmp_path / name, name) for name in ("2", "3"))
    with_only_pickles(hostile, Runs(os.system, f"touch {tmp_path / 'sprung'}"))
    if signed:
        for folder in (other, hostile):
            sign(folder, key=keys.private)
    model_link.holds(other)

    def verify_and_move(*arguments: Any) -> VerifiedModel:
        verified = verify_model(*arguments)
        model_link.holds(hostile)
        return verified

    monkeypatch.setattr(model_source, "verify_model", verify_and_move)
    source = msgspec.structs.replace(model_link.source, public_key=keys.public if signed else None)
    assert source.load_verified().model.version == "2"
    assert not (tmp_path / "sprung").exists()


def test_a_model_that_changes_during_verification_is_refused(
    model_link: ModelLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole SHA-256 is compared, not only the digits that are shown."""
    model_link.holds(another_version(model_link.model_dir, tmp_path / "2", "2"))

    def verify_another(*arguments: Any) -> VerifiedModel:
        verified = verify_model(*arguments)
        return msgspec.structs.replace(verified, sha256=verified.sha256[:-1] + "g")

    monkeypatch.setattr(model_source, "verify_model", verify_another)
    assert "changed while it was verified" in model_link.refusal()


def test_a_dangling_link_is_refused(model_link: ModelLink, tmp_path: Path) -> None:
    """The current model keeps serving."""
    model_link.holds(tmp_path / "nowhere")
    assert model_link.refusal().startswith(f"no model at {model_link.link}: cannot read manifest.json (No such file")
    assert isinstance(served(model_link.manager)[0], Scored)


def swapped(first: Scorer, second: Scorer, withdrawals: Withdrawals) -> ModelManager:
    manager = ModelManager(first, LIMIT, withdrawals)
    manager.swap(second)
    return manager


def test_a_model_that_breaks_on_trial_is_withdrawn_without_a_lost_record(artifact: Artifact) -> None:
    """The current batch and all later ones have the scores of the previous model."""
    switch, withdrawals, before = Switch(raises), Withdrawals(), Scorer(artifact)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    manager = swapped(before, broken, withdrawals)
    switch.thrown = True
    assert served(manager) == outcomes_of(BATCH, before) == served(manager)
    reason = "the model no longer reproduces its own results on reference cases"
    assert (manager.scorer, withdrawals.reasons) == (before, [(before.model.digest, reason)])


def test_a_model_that_fails_on_some_records_is_withdrawn(artifact: Artifact) -> None:
    """One record that the previous model can score is enough."""
    withdrawals, before = Withdrawals(), Scorer(artifact)
    culprits = artifact.fitted().preprocessor.transform(ROWS[[7]])
    spoiled = Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan")))
    manager = swapped(before, Scorer(with_classifier(artifact, spoiled)), withdrawals)
    assert served(manager) == outcomes_of(BATCH, before)
    assert [reason for _, reason in withdrawals.reasons] == ["it fails on records that the other model can score"]


def test_records_that_neither_model_can_score_do_not_withdraw_it(artifact: Artifact) -> None:
    """They are dead letters, as before."""
    withdrawals = Withdrawals()
    culprits = artifact.fitted().preprocessor.transform(ROWS[[7]])
    spoiled = with_classifier(artifact, Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan"))))
    before, after = Scorer(spoiled), Scorer(spoiled)
    manager = swapped(before, after, withdrawals)
    assert served(manager) == outcomes_of(BATCH, after)
    assert (manager.scorer, withdrawals.reasons) == (after, [])


def test_a_shift_is_detected_at_the_end_of_the_trial(model_link: ModelLink, tmp_path: Path) -> None:
    """Without records before the swap those of the trial decide; the model is not loaded again."""
    withdrawals = Withdrawals()
    exchanged = with_exchanged_labels(model_link.model_dir, tmp_path / "exchanged")
    manager = ModelManager(model_link.manager.scorer, LIMIT, withdrawals)
    follower, before = UpdateFinder(model_link.source, manager), manager.scorer
    model_link.holds(exchanged)
    candidate = follower.find_update()()
    assert candidate is not None
    follower.swap(candidate)
    records = 0
    while manager.scorer is candidate and records < 2 * TRIAL_RECORDS:
        outcomes = served(manager, BATCH[:100])
        records += 100
    assert (records, outcomes) == (TRIAL_RECORDS, outcomes_of(BATCH[:100], before))
    assert [digest for digest, _ in withdrawals.reasons] == [before.model.digest]
    with pytest.raises(ArtifactError, match="was withdrawn: the risks of"):
        follower.find_update()()


def test_a_trial_ends(artifact: Artifact) -> None:
    """A model that breaks after its trial stops the worker."""
    switch = Switch(gives(2.0))
    second = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    manager = swapped(Scorer(artifact), second, Withdrawals())
    for _ in range(0, TRIAL_RECORDS, len(BATCH)):
        served(manager)
    switch.thrown = True
    with pytest.raises(ArtifactError, match="no longer reproduces"):
        served(manager)


def test_large_batches_lengthen_the_trial(model_link: ModelLink, tmp_path: Path) -> None:
    """A window keeps 64 records of a batch: the trial lasts until there are enough of them to compare."""
    manager, withdrawals = model_link.manager, Withdrawals()
    manager = ModelManager(manager.scorer, LIMIT, withdrawals)
    manager.swap(
        Scorer(load(with_exchanged_labels(model_link.model_dir, tmp_path / "exchanged")), window_records=1_000)
    )
    large = as_values(random_rows(TRIAL_RECORDS, seed=6))
    batches = 0
    while not withdrawals.reasons and batches < 10:
        served(manager, large)
        batches += 1
    assert batches == int(np.ceil(200 / 63))


def test_the_polled_digest_is_that_of_the_loaded_model(model_link: ModelLink) -> None:
    """The cheap check of the manifest finds the digest that loading finds."""
    assert model_link.source.digest() == model_link.manager.scorer.model.digest
