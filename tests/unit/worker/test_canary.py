"""Laws of the canary: a key has one model, the share holds, and no record pays for a bad challenger."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import events
from schemas.codec import decode_score
from schemas.records import Source
from scoring.artifact import Artifact, load
from scoring.pipeline import Outcome, Rejected, Scored, process
from scoring.scorer import Scorer
from scoring.serving import TRIAL_RECORDS, ModelSource, Serving
from tests.unit.scoring.models import (
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
from worker.canary import Canary, KeyShare

ROWS = random_rows(500, seed=8)
VALUES = as_values(ROWS)
KEYS: list[bytes | None] = [b"patient-%d" % number for number in range(len(VALUES))]
SOURCES: list[Source | None] = [Source("patients", 0, offset) for offset in range(len(VALUES))]
SHARE = 0.3


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
    values = VALUES[own]
    return canary.process(values, SOURCES[own], KEYS[own], values.__getitem__)


def of(scorer: Scorer) -> list[Outcome]:
    return process(VALUES, SOURCES, scorer)


def parted(champion: Scorer, challenger: Scorer, share: float = SHARE) -> list[Outcome]:
    """What each record gets by its key alone."""
    takes = KeyShare(share).takes
    return [
        second if takes(key) else first for key, first, second in zip(KEYS, of(champion), of(challenger), strict=True)
    ]


def shown() -> tuple[float, float, float]:
    """Return the canary's records, whether there is one, and how many models were withdrawn, as metrics tell."""
    found = {"heartstream_canary_records_total": 0.0, "heartstream_canary_info": 0.0, "withdrawn": 0.0}
    for line in events.render_metrics()[0].decode().splitlines():
        name = "withdrawn" if 'changes_total{outcome="withdrawn"}' in line else line.partition("{")[0]
        if name in found and not line.startswith("#"):
            found[name] += float(line.rpartition(" ")[2])
    records, there, withdrawn = found.values()
    return records, there, withdrawn


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_the_share_of_keys_holds(share: float) -> None:
    """Keys that count up, as ids do, are taken independently of each other."""
    keys = [b"%d" % number for number in range(100_000)]
    taken = [KeyShare(share).takes(key) for key in keys]
    assert sum(taken) == pytest.approx(share * len(keys), rel=0.1)
    both = sum(a and b for a, b in pairwise(taken))
    assert both == pytest.approx(share * share * len(keys), rel=0.1, abs=10)


def test_none_all_and_no_key() -> None:
    """A share of 0 takes none, of 1 all that have a key; an empty key is a key."""
    keys = [b"", b"1", b"\xff" * 100]
    assert not any(map(KeyShare(0).takes, keys))
    assert all(map(KeyShare(1).takes, keys))
    assert not KeyShare(1).takes(None)


@given(st.binary(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_the_keys_of_a_smaller_one(key: bytes, one: float, other: float) -> None:
    """Whoever raises the share changes nobody's model back."""
    assert KeyShare(min(one, other)).takes(key) <= KeyShare(max(one, other)).takes(key)


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_key_has_one_model_in_any_batch(scorer: Scorer, other: Scorer, size: int) -> None:
    """Byte for byte what its model alone makes of the record, in the order of the batch."""
    canary = Canary(Serving(scorer), other, SHARE)
    before = shown()[0]
    batches = [range(start, min(start + size, len(VALUES))) for start in range(0, len(VALUES), size)]
    expected = parted(scorer, other)
    assert [outcome for batch in batches for outcome in answered(canary, batch)] == expected
    theirs = sum(decode_score(each.value).model.version == "2" for each in expected if isinstance(each, Scored))
    assert (shown()[0] - before, theirs) == (theirs, sum(map(KeyShare(SHARE).takes, KEYS)))


def test_records_without_a_key_are_the_champions(scorer: Scorer, other: Scorer) -> None:
    """Nothing says whose they are."""
    canary = Canary(Serving(scorer), other, 1.0)
    assert canary.process(VALUES, SOURCES, [None] * len(VALUES), VALUES.__getitem__) == of(scorer)


def test_what_a_record_comes_in_is_opened_for_both(scorer: Scorer, other: Scorer) -> None:
    """Each model opens its own records, and rejects what it must: places are those of the batch."""
    wrapped: list[bytes | None] = [b"{}" for _ in VALUES]
    contents: list[bytes | None] = [value if place % 5 else b"broken" for place, value in enumerate(VALUES)]
    found = Canary(Serving(scorer), other, SHARE).process(wrapped, SOURCES, KEYS, contents.__getitem__)
    takes = KeyShare(SHARE).takes
    assert [isinstance(each, Rejected) for each in found] == [place % 5 == 0 for place in range(len(VALUES))]
    versions = {
        (takes(key), decode_score(each.value).model.version)
        for key, each in zip(KEYS, found, strict=True)
        if isinstance(each, Scored)
    }
    assert versions == {(False, scorer.model.version), (True, "2")}


def test_one_that_fails_on_a_record_goes_and_the_record_is_scored(scorer: Scorer, artifact: Artifact) -> None:
    """The champion answers for all keys from that batch on; it is told once."""
    place = next(place for place, key in enumerate(KEYS) if KeyShare(SHARE).takes(key))
    culprits = artifact.fitted().preprocessor.transform(ROWS[[place]])
    spoiled = Spoiled(artifact.fitted().classifier, gives_on(culprits, float("nan")))
    canary = Canary(Serving(scorer), Scorer(with_classifier(artifact, spoiled)), SHARE)
    withdrawn = shown()[2]
    assert answered(canary) == of(scorer) == answered(canary)
    assert shown()[1:] == (0.0, withdrawn + 1)


def test_one_that_breaks_after_thousands_of_records_goes(scorer: Scorer, artifact: Artifact) -> None:
    """Its trial never ends: what would stop a worker whose own model it is ends the canary alone."""
    switch = Switch(raises)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    canary = Canary(Serving(scorer), broken, 1.0)
    for _ in range(0, 2 * TRIAL_RECORDS, len(VALUES)):
        answered(canary)
    switch.thrown = True
    assert answered(canary) == of(scorer) == answered(canary)


def test_one_whose_risks_jump_goes(model_dir: Path, tmp_path: Path) -> None:
    """Exchanged labels are found within the records of a trial, though golden records are right."""
    exchanged = Scorer.from_directory(with_exchanged_labels(model_dir, tmp_path / "exchanged"), window_records=1_000)
    champion = Scorer.from_directory(model_dir, window_records=1_000)
    canary = Canary(Serving(champion, 0.25), exchanged, 1.0)
    records = 0
    while (found := answered(canary, range(100))) != of(champion)[:100] and records < 2 * TRIAL_RECORDS:
        assert found == of(exchanged)[:100]
        records += 100
    assert records == TRIAL_RECORDS - 100


def test_a_champion_that_was_swapped_is_the_one_to_go_back_to(
    scorer: Scorer, other: Scorer, artifact: Artifact
) -> None:
    """From the next trial on, the challenger stands beside the new one."""
    switch, champion = Switch(raises), Serving(scorer)
    broken = Scorer(with_classifier(artifact, Spoiled(artifact.fitted().classifier, switch)))
    canary = Canary(champion, broken, 1.0)
    champion.swap(other)
    for _ in range(0, TRIAL_RECORDS, len(VALUES)):
        answered(canary)
    switch.thrown = True
    assert answered(canary) == of(other) == answered(canary)


def test_a_broken_one_does_not_keep_the_champion_from_starting(scorer: Scorer, model_dir: Path, tmp_path: Path) -> None:
    """It is refused, and said so; a sound one is there, and told."""
    whole = another_version(model_dir, tmp_path / "whole", "3")
    broken = another_version(model_dir, tmp_path / "broken", "4")
    (broken / "report.json").write_text("{}")
    assert Canary.load(Serving(scorer), ModelSource(broken), SHARE) is None
    metrics = events.render_metrics()[0].decode()
    assert ("heartstream_model_refused 1.0" in metrics, 'version="4"' in metrics) == (True, False)
    canary = Canary.load(Serving(scorer), ModelSource(whole), SHARE)
    assert canary is not None
    assert answered(canary) == parted(scorer, Scorer.from_directory(whole))
    digest = ModelSource(whole).digest()
    assert f'heartstream_canary_info{{digest="{digest}"' in events.render_metrics()[0].decode()
