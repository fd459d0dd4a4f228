"""Laws of the canary: a key has one model, the share holds, and no record pays for a bad challenger."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import events
from runtime.metrics import model as metrics
from schemas.codec import decode_score
from schemas.records import Source
from scoring.batches import JsonBatch
from scoring.model_artifact import Artifact, load
from scoring.model_manager import TRIAL_RECORDS, ModelManager, ModelSource
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


def answered(canary: Canary, places: range = range(len(VALUES))) -> list[Outcome]:
    """Score some of the records, as one batch."""
    own = slice(places.start, places.stop)
    return outcomes_of(canary.score(JsonBatch(VALUES[own], None, SOURCES[own], KEYS[own]).decode()))


def of(scorer: Scorer) -> list[Outcome]:
    return process(VALUES, SOURCES, scorer)


def parted(champion: Scorer, challenger: Scorer, share: float = SHARE) -> list[Outcome]:
    """What each record gets by its key alone."""
    takes = KeySampler(share).selects
    return [
        second if takes(key) else first for key, first, second in zip(KEYS, of(champion), of(challenger), strict=True)
    ]


def shown(name: str) -> float:
    """Return what a metric of the canary tells, summed over its labels."""
    lines = events.render_metrics()[0].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"heartstream_canary_{name}"))


def announced(canary: Canary) -> Canary:
    """Tell of a canary as of one that was loaded and is sound."""
    metrics.CANARY_REFUSED.set(0)
    events.CanaryLoaded("name", "1", "digest", SHARE).emit()
    return canary


def is_told_of_as_withdrawn() -> bool:
    return (shown("info"), shown("refused")) == (0, 1)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_share_of_keys_holds(share: float) -> None:
    """Keys that count up, as ids do, are taken independently of each other."""
    keys = [b"%d" % number for number in range(100_000)]
    taken = [KeySampler(share).selects(key) for key in keys]
    assert sum(taken) == pytest.approx(share * len(keys), rel=0.1)
    both = sum(a and b for a, b in pairwise(taken))
    assert both == pytest.approx(share * share * len(keys), rel=0.2)


def test_none_all_and_no_key() -> None:
    """A share of 0 takes none, of 1 all that have a key; an empty key is a key."""
    keys = [b"", b"1", b"\xff" * 100]
    assert not any(map(KeySampler(0).selects, keys))
    assert all(map(KeySampler(1).selects, keys))
    assert not KeySampler(1).selects(None)


@given(st.binary(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_the_keys_of_a_smaller_one(key: bytes, one: float, other: float) -> None:
    """Whoever raises the share changes nobody's model back."""
    assert KeySampler(min(one, other)).selects(key) <= KeySampler(max(one, other)).selects(key)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_key_has_one_model_in_any_batch(scorer: Scorer, other: Scorer, size: int) -> None:
    """Byte for byte what its model alone makes of the record, in the order of the batch."""
    canary = Canary(ModelManager(scorer), other, SHARE)
    before = shown("records_total")
    batches = [range(start, min(start + size, len(VALUES))) for start in range(0, len(VALUES), size)]
    expected = parted(scorer, other)
    assert [outcome for batch in batches for outcome in answered(canary, batch)] == expected
    theirs = sum(decode_score(each.value).model.version == "2" for each in expected if isinstance(each, Scored))
    assert (shown("records_total") - before, theirs) == (theirs, sum(map(KeySampler(SHARE).selects, KEYS)))


def test_records_without_a_key_are_the_champions(scorer: Scorer, other: Scorer) -> None:
    """Nothing says whose they are."""
    canary = Canary(ModelManager(scorer), other, 1.0)
    batch = JsonBatch(VALUES, None, SOURCES, [None] * len(VALUES))
    assert outcomes_of(canary.score(batch.decode())) == of(scorer)


def test_rejected_records_keep_their_places(scorer: Scorer, other: Scorer) -> None:
    """Whoever scores the others: places are those of the batch."""
    values: list[bytes | None] = [value if place % 5 else b"broken" for place, value in enumerate(VALUES)]
    batch = JsonBatch(values, None, SOURCES, KEYS)
    found = outcomes_of(Canary(ModelManager(scorer), other, SHARE).score(batch.decode()))
    takes = KeySampler(SHARE).selects
    assert [isinstance(each, Rejected) for each in found] == [place % 5 == 0 for place in range(len(VALUES))]
    versions = {
        (takes(key), decode_score(each.value).model.version)
        for key, each in zip(KEYS, found, strict=True)
        if isinstance(each, Scored)
    }
    assert versions == {(False, scorer.model.version), (True, "2")}


def test_one_that_fails_on_a_record_goes_and_the_record_is_scored(scorer: Scorer, artifact: Artifact) -> None:
    """The champion answers for all keys from that batch on; it is told, and none of it counts as the canary's."""
    place = next(place for place, key in enumerate(KEYS) if KeySampler(SHARE).selects(key))
    canary = announced(Canary(ModelManager(scorer), failing_on(artifact, place), SHARE))
    assert (shown("info"), shown("refused"), before := shown("records_total")) == (1, 0, before)
    assert answered(canary) == of(scorer) == answered(canary)
    assert is_told_of_as_withdrawn()
    assert shown("records_total") == before


def failing_on(artifact: Artifact, place: int) -> Scorer:
    """Return a model that fails on one of the records alone."""
    culprits = artifact.fitted().preprocessor.transform(ROWS[[place]])
    return Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan")))))


def test_one_that_fails_where_the_champion_fails_elsewhere_goes(artifact: Artifact) -> None:
    """As many failures as the champion's are not the same: the record that the champion can score is scored."""
    canary = announced(Canary(ModelManager(failing_on(artifact, 7)), failing_on(artifact, 9), 1.0))
    rejected = [place for place, outcome in enumerate(answered(canary)) if isinstance(outcome, Rejected)]
    assert (rejected, is_told_of_as_withdrawn()) == ([7], True)


def test_records_that_neither_can_score_do_not_send_it_away(artifact: Artifact) -> None:
    """They are rejected by both."""
    canary = announced(Canary(ModelManager(failing_on(artifact, 7)), failing_on(artifact, 7), 1.0))
    rejected = [place for place, outcome in enumerate(answered(canary)) if isinstance(outcome, Rejected)]
    assert (rejected, shown("refused")) == ([7], 0)


def test_one_that_breaks_after_thousands_of_records_goes(scorer: Scorer, artifact: Artifact) -> None:
    """Its trial never ends: what would stop a worker whose own model it is ends the canary alone."""
    switch = Switch(raises)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    canary = announced(Canary(ModelManager(scorer), broken, 1.0))
    for _ in range(0, 2 * TRIAL_RECORDS, len(VALUES)):
        answered(canary)
    switch.thrown = True
    assert answered(canary) == of(scorer) == answered(canary)
    assert is_told_of_as_withdrawn()


@pytest.fixture(scope="module")
def exchanged(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model whose labels are exchanged."""
    return with_exchanged_labels(model_dir, tmp_path_factory.mktemp("models") / "exchanged")


def watched(folder: Path) -> Scorer:
    return Scorer.from_directory(folder, window_records=1_000)


def test_one_whose_risks_jump_answers_for_nobody(model_dir: Path, exchanged: Path) -> None:
    """It is held against the champion on the champion's last records before its first one."""
    champion = watched(model_dir)
    canary = announced(Canary(ModelManager(champion, LIMIT), watched(exchanged), SHARE))
    expected = of(champion)
    batches = [range(start, start + 50) for start in range(0, len(VALUES), 50)]
    assert [outcome for batch in batches for outcome in answered(canary, batch)] == expected
    assert is_told_of_as_withdrawn()


def test_a_good_one_answers_as_soon_as_it_was_held_against_the_champion(model_dir: Path, tmp_path: Path) -> None:
    """That takes 200 records."""
    challenger = watched(another_version(model_dir, tmp_path / "other", "2"))
    canary = Canary(ModelManager(watched(model_dir), LIMIT), challenger, 0.5)
    batches = [range(start, start + 50) for start in range(0, len(VALUES), 50)]
    found = [
        {decode_score(each.value).model.version for each in answered(canary, batch) if isinstance(each, Scored)}
        for batch in batches
    ]
    assert found == [{"test"}] * 4 + [{"test", "2"}] * 6


def test_one_that_comes_to_jump_goes(model_dir: Path, artifact: Artifact) -> None:
    """Every 2,000 of its records it is looked at again, beside the champion of then."""
    switch = Switch(lambda _, probabilities: 1 - probabilities)
    turned = with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch))
    challenger, champion = Scorer(turned, window_records=1_000), watched(model_dir)
    canary = announced(Canary(ModelManager(champion, LIMIT), challenger, 0.5))
    for start in range(0, len(VALUES), 50):
        answered(canary, range(start, start + 50))
    assert shown("refused") == 0
    records = 0
    while shown("refused") == 0 and records < 10 * TRIAL_RECORDS:
        found = answered(canary, range(100))
        records += 100
        switch.thrown = True
    assert found == of(champion)[:100]
    assert records <= 3 * TRIAL_RECORDS


def test_a_champion_that_was_swapped_is_the_one_to_go_back_to(
    scorer: Scorer, other: Scorer, artifact: Artifact
) -> None:
    """At once: what was served before is nobody's any more."""
    switch, champion = Switch(raises), ModelManager(scorer)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    canary = Canary(champion, broken, SHARE)
    answered(canary)
    champion.swap(other)
    switch.thrown = True
    assert answered(canary) == of(other)


def test_a_champion_that_is_withdrawn_takes_no_sound_canary_along(
    scorer: Scorer, other: Scorer, artifact: Artifact
) -> None:
    """In the batch in which it goes, keys of the canary have the canary's scores, others the champion's of before."""
    switch, champion = Switch(raises), ModelManager(scorer)
    canary = announced(Canary(champion, other, SHARE))
    answered(canary)
    champion.swap(Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch))))
    answered(canary)
    switch.thrown = True
    assert answered(canary) == parted(scorer, other) == answered(canary)
    assert (champion.scorer, shown("refused")) == (scorer, 0)


def test_a_broken_one_does_not_keep_the_champion_from_starting(scorer: Scorer, model_dir: Path, tmp_path: Path) -> None:
    """It is refused, and said so; a sound one is there, and told."""
    whole = another_version(model_dir, tmp_path / "whole", "3")
    broken = another_version(model_dir, tmp_path / "broken", "4")
    (broken / "report.json").write_text("{}")
    metrics.CANARY_REFUSED.set(0)
    metrics.CANARY.clear()
    assert Canary.load(ModelManager(scorer), ModelSource(broken), SHARE) is None
    assert (shown("info"), shown("refused")) == (0, 1)
    canary = Canary.load(ModelManager(scorer), ModelSource(whole), SHARE)
    assert canary is not None
    assert answered(canary) == parted(scorer, Scorer.from_directory(whole))
    digest = ModelSource(whole).digest()
    assert f'heartstream_canary_info{{digest="{digest}"' in events.render_metrics()[0].decode()
