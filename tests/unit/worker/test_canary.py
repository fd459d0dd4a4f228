"""A key always has the same model, the canary gets its share of keys, and its failure costs no record its score."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import events, logs
from runtime.metrics import model as metrics
from runtime.settings import Telemetry
from schemas.codec import decode_score
from schemas.records import Source
from scoring.batches import JsonBatch
from scoring.model_artifact import Artifact, load
from scoring.model_manager import TRIAL_RECORDS, ModelManager
from scoring.model_source import ModelSource
from scoring.scorer import Scorer
from tests.support.models import (
    Spoiled,
    Switch,
    another_version,
    as_values,
    gives_on,
    raises,
    random_rows,
    with_classifier,
    with_exchanged_labels,
)
from tests.support.outcomes import Outcome, Rejected, Scored, outcomes_of, process
from tests.support.uci import UCI
from worker.canary import Canary, KeySampler

ROWS = random_rows(500, seed=8)
VALUES = as_values(ROWS)
KEYS: list[bytes | None] = [b"patient-%d" % number for number in range(len(VALUES))]
SOURCES: list[Source | None] = [Source("patients", 0, offset) for offset in range(len(VALUES))]
SHARE, LIMIT = 0.3, 0.25


@pytest.fixture(scope="module")
def artifact(model_dir: Path) -> Artifact:
    return load(model_dir)


@pytest.fixture(scope="module")
def other(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A challenger with the champion's risks and another version."""
    return Scorer.from_directory(another_version(model_dir, tmp_path_factory.mktemp("models") / "other", "2"))


def scored(canary: Canary, places: range = range(len(VALUES))) -> list[Outcome]:
    """Score some of the records, as one batch."""
    own = slice(places.start, places.stop)
    return outcomes_of(canary.score(JsonBatch(VALUES[own], None, SOURCES[own], KEYS[own]).decode(UCI)))


def of(scorer: Scorer) -> list[Outcome]:
    return process(VALUES, SOURCES, scorer)


def by_key(champion: Scorer, challenger: Scorer, share: float = SHARE) -> list[Outcome]:
    """Return the outcome that each record gets from the model of its key."""
    takes = KeySampler(share).selects
    return [
        second if takes(key) else first for key, first, second in zip(KEYS, of(champion), of(challenger), strict=True)
    ]


def gauge(name: str) -> float:
    """Return the value of a canary metric, summed over its labels."""
    lines = events.render_metrics()[0].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"heartstream_canary_{name}"))


def announced(canary: Canary) -> Canary:
    """Report the canary as loaded and healthy."""
    metrics.CANARY_REFUSED.set(0)
    events.CanaryLoaded("name", "1", "digest", SHARE).emit()
    return canary


def is_reported_as_withdrawn() -> bool:
    return (gauge("info"), gauge("refused")) == (0, 1)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_canary_gets_its_share_of_keys(share: float) -> None:
    """Consecutive keys, as ids often are, are selected independently of each other."""
    keys = [b"%d" % number for number in range(100_000)]
    taken = [KeySampler(share).selects(key) for key in keys]
    assert sum(taken) == pytest.approx(share * len(keys), rel=0.1)
    both = sum(a and b for a, b in pairwise(taken))
    assert both == pytest.approx(share * share * len(keys), rel=0.2)


def test_shares_of_zero_and_one_and_records_without_a_key() -> None:
    """A share of 0 selects no key, 1 selects every key; an empty key is a key, a missing one is not."""
    keys = [b"", b"1", b"\xff" * 100]
    assert not any(map(KeySampler(0).selects, keys))
    assert all(map(KeySampler(1).selects, keys))
    assert not KeySampler(1).selects(None)


@given(st.binary(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_the_keys_of_a_smaller_one(key: bytes, one: float, other: float) -> None:
    """Raising the share never moves a key back to the champion."""
    assert KeySampler(min(one, other)).selects(key) <= KeySampler(max(one, other)).selects(key)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_key_has_one_model_in_any_batch(scorer: Scorer, other: Scorer, size: int) -> None:
    """Whatever the batch size, each outcome is byte for byte that of the key's model alone, in the batch's order."""
    canary = Canary(ModelManager(scorer), other, SHARE)
    before = gauge("records_total")
    batches = [range(start, min(start + size, len(VALUES))) for start in range(0, len(VALUES), size)]
    expected = by_key(scorer, other)
    assert [outcome for batch in batches for outcome in scored(canary, batch)] == expected
    theirs = sum(decode_score(each.value).model.version == "2" for each in expected if isinstance(each, Scored))
    assert (gauge("records_total") - before, theirs) == (theirs, sum(map(KeySampler(SHARE).selects, KEYS)))


def test_records_without_a_key_are_scored_by_the_champion(scorer: Scorer, other: Scorer) -> None:
    """Even with a share of 1."""
    canary = Canary(ModelManager(scorer), other, 1.0)
    batch = JsonBatch(VALUES, None, SOURCES, [None] * len(VALUES))
    assert outcomes_of(canary.score(batch.decode(UCI))) == of(scorer)


def test_rejected_records_keep_their_positions(scorer: Scorer, other: Scorer) -> None:
    """Rejections keep their positions in the batch, whichever model scores the other records."""
    values: list[bytes | None] = [value if place % 5 else b"broken" for place, value in enumerate(VALUES)]
    batch = JsonBatch(values, None, SOURCES, KEYS)
    found = outcomes_of(Canary(ModelManager(scorer), other, SHARE).score(batch.decode(UCI)))
    takes = KeySampler(SHARE).selects
    assert [isinstance(each, Rejected) for each in found] == [place % 5 == 0 for place in range(len(VALUES))]
    versions = {
        (takes(key), decode_score(each.value).model.version)
        for key, each in zip(KEYS, found, strict=True)
        if isinstance(each, Scored)
    }
    assert versions == {(False, scorer.model.version), (True, "2")}


def test_a_canary_that_fails_is_withdrawn_and_the_champion_scores_the_batch(scorer: Scorer, artifact: Artifact) -> None:
    """The champion scores every key from that batch on; the withdrawal is reported, no record counts as canary."""
    place = next(place for place, key in enumerate(KEYS) if KeySampler(SHARE).selects(key))
    canary = announced(Canary(ModelManager(scorer), failing_on(artifact, place), SHARE))
    assert (gauge("info"), gauge("refused"), before := gauge("records_total")) == (1, 0, before)
    assert scored(canary) == of(scorer) == scored(canary)
    assert is_reported_as_withdrawn()
    assert gauge("records_total") == before


def failing_on(artifact: Artifact, place: int) -> Scorer:
    """Return a model that fails on one of the records alone."""
    culprits = artifact.fitted().preprocessor.transform(ROWS[[place]])
    return Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan")))))


def test_a_canary_that_fails_on_another_record_than_the_champion_is_withdrawn(artifact: Artifact) -> None:
    """The same number of failures is not enough: a record that the champion can score is scored."""
    canary = announced(Canary(ModelManager(failing_on(artifact, 7)), failing_on(artifact, 9), 1.0))
    rejected = [place for place, outcome in enumerate(scored(canary)) if isinstance(outcome, Rejected)]
    assert (rejected, is_reported_as_withdrawn()) == ([7], True)


def test_records_that_neither_model_can_score_do_not_withdraw_the_canary(artifact: Artifact) -> None:
    """Both models reject them."""
    canary = announced(Canary(ModelManager(failing_on(artifact, 7)), failing_on(artifact, 7), 1.0))
    rejected = [place for place, outcome in enumerate(scored(canary)) if isinstance(outcome, Rejected)]
    assert (rejected, gauge("refused")) == ([7], 0)


def test_a_canary_that_breaks_after_thousands_of_records_is_withdrawn(scorer: Scorer, artifact: Artifact) -> None:
    """A canary is on trial forever: a failure that would stop the worker in a champion only withdraws the canary."""
    switch = Switch(raises)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    canary = announced(Canary(ModelManager(scorer), broken, 1.0))
    for _ in range(0, 2 * TRIAL_RECORDS, len(VALUES)):
        scored(canary)
    switch.thrown = True
    assert scored(canary) == of(scorer) == scored(canary)
    assert is_reported_as_withdrawn()


@pytest.fixture(scope="module")
def inverted(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid model whose labels are inverted."""
    return with_exchanged_labels(model_dir, tmp_path_factory.mktemp("models") / "exchanged")


def watched(folder: Path) -> Scorer:
    return Scorer.from_directory(folder, window_records=1_000)


def test_a_canary_whose_risks_differ_too_much_scores_nothing(model_dir: Path, inverted: Path) -> None:
    """It is compared with the champion on the champion's recent records before it scores its first one."""
    champion = watched(model_dir)
    canary = announced(Canary(ModelManager(champion, LIMIT), watched(inverted), SHARE))
    expected = of(champion)
    batches = [range(start, start + 50) for start in range(0, len(VALUES), 50)]
    assert [outcome for batch in batches for outcome in scored(canary, batch)] == expected
    assert is_reported_as_withdrawn()


def test_a_good_canary_scores_once_it_has_been_compared_with_the_champion(model_dir: Path, tmp_path: Path) -> None:
    """The comparison needs 200 records."""
    challenger = watched(another_version(model_dir, tmp_path / "other", "2"))
    canary = Canary(ModelManager(watched(model_dir), LIMIT), challenger, 0.5)
    batches = [range(start, start + 50) for start in range(0, len(VALUES), 50)]
    found = [
        {decode_score(each.value).model.version for each in scored(canary, batch) if isinstance(each, Scored)}
        for batch in batches
    ]
    assert found == [{"test"}] * 4 + [{"test", "2"}] * 6


def test_a_canary_whose_risks_shift_later_is_withdrawn(model_dir: Path, artifact: Artifact) -> None:
    """It is compared with the current champion again after every 2,000 of its records."""
    switch = Switch(lambda _, probabilities: 1 - probabilities)
    turned = with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch))
    challenger, champion = Scorer(turned, window_records=1_000), watched(model_dir)
    canary = announced(Canary(ModelManager(champion, LIMIT), challenger, 0.5))
    for start in range(0, len(VALUES), 50):
        scored(canary, range(start, start + 50))
    assert gauge("refused") == 0
    records = 0
    while gauge("refused") == 0 and records < 10 * TRIAL_RECORDS:
        found = scored(canary, range(100))
        records += 100
        switch.thrown = True
    assert found == of(champion)[:100]
    assert records <= 3 * TRIAL_RECORDS


def test_a_withdrawn_canary_falls_back_to_the_current_champion(
    scorer: Scorer, other: Scorer, artifact: Artifact
) -> None:
    """After a swap the new champion takes over at once, never the previous one."""
    switch, champion = Switch(raises), ModelManager(scorer)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    canary = Canary(champion, broken, SHARE)
    scored(canary)
    champion.swap(other)
    switch.thrown = True
    assert scored(canary) == of(other)


def test_a_withdrawn_champion_leaves_a_healthy_canary_in_place(
    scorer: Scorer, other: Scorer, artifact: Artifact
) -> None:
    """In that batch the canary's keys keep the canary's scores, and the others get the previous champion's."""
    switch, champion = Switch(raises), ModelManager(scorer)
    canary = announced(Canary(champion, other, SHARE))
    scored(canary)
    champion.swap(Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch))))
    scored(canary)
    switch.thrown = True
    assert scored(canary) == by_key(scorer, other) == scored(canary)
    assert (champion.scorer, gauge("refused")) == (scorer, 0)


def test_a_canary_that_cannot_be_loaded_does_not_prevent_the_start(
    scorer: Scorer, model_dir: Path, tmp_path: Path
) -> None:
    """The refusal is reported and the champion starts alone; a valid canary is loaded and reported."""
    whole = another_version(model_dir, tmp_path / "whole", "3")
    broken = another_version(model_dir, tmp_path / "broken", "4")
    (broken / "report.json").write_text("{}")
    metrics.CANARY_REFUSED.set(0)
    metrics.CANARY.clear()
    assert Canary.load(ModelManager(scorer), ModelSource(broken), SHARE) is None
    assert (gauge("info"), gauge("refused")) == (0, 1)
    canary = Canary.load(ModelManager(scorer), ModelSource(whole), SHARE)
    assert canary is not None
    assert scored(canary) == by_key(scorer, Scorer.from_directory(whole))
    digest = ModelSource(whole).digest()
    assert f'heartstream_canary_info{{digest="{digest}"' in events.render_metrics()[0].decode()


def test_a_canary_with_another_feature_table_is_refused(
    scorer: Scorer, flchain_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records of one topic have one table; the log names both."""
    logs.configure(Telemetry())
    metrics.CANARY_REFUSED.set(0)
    metrics.CANARY.clear()
    assert Canary.load(ModelManager(scorer), ModelSource(flchain_dir), SHARE) is None
    assert (gauge("info"), gauge("refused")) == (0, 1)
    assert "its feature table is flchain-2012/1, not uci-heart-1988/1" in capsys.readouterr().err
