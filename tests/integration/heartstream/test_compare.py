"""`heartstream compare` on a real broker: two models' scores of a stream, and known outcomes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heartstream.demo.patients import real_patients
from heartstream.monitoring.compare.comparison import ComparisonResult, compare_topics
from heartstream.monitoring.compare.differences import compare_outcomes
from runtime.kafka.topics import create_topics
from runtime.settings import Kafka, Settings
from schemas.records import Source
from scoring.scorer import Scorer
from tests.support.dlq_harness import DlqHarness, now
from tests.support.models import another_version
from tests.support.outcomes import Scored, process
from tests.support.stream import PARTITIONS
from training.data.frames import features, read_snapshot, target
from worker.kafka.outgoing_record import OutgoingRecord

NAMES = "logistic_regression", "random_forest"


class ScoredPatients:
    """All real patients, scored by a champion, and some by a challenger."""

    def __init__(self, harness: DlqHarness, model_dir: Path) -> None:
        self.harness = harness
        self.champion, self.challenger = (Scorer.from_directory(model_dir, name) for name in NAMES)
        self.values = [json.dumps(record).encode() for record in real_patients()]
        self.sources = [Source(harness.topics.patients, place % 2, place) for place in range(len(self.values))]
        create_topics(harness.address, [harness.topics.shadow, harness.topics.outcomes], PARTITIONS, {})

    def say(self, topic: str, scorer: Scorer, places: range) -> None:
        """Produce a model's scores of some records."""
        values, sources = [self.values[at] for at in places], [self.sources[at] for at in places]
        for outcome in process(values, sources, scorer):
            if isinstance(outcome, Scored):
                self.send(topic, outcome.value)

    def send(self, topic: str, value: bytes) -> None:
        self.harness.producer.produce(topic, value, timestamp=now())

    def find(self, last: int = 10_000, outcomes: int = 0) -> ComparisonResult:
        self.harness.producer.flush()
        kafka = Kafka(bootstrap_servers=self.harness.address)
        return compare_topics(Settings(kafka=kafka, topics=self.harness.topics), last, outcomes)


@pytest.fixture
def life(harness: DlqHarness, model_dir: Path) -> ScoredPatients:
    return ScoredPatients(harness, model_dir)


def test_records_that_both_scored_are_compared_once(life: ScoredPatients, model_dir: Path, tmp_path: Path) -> None:
    """However often scores are repeated, and per pair of models after a swap; excluded scores are reported."""
    topics, everybody = life.harness.topics, range(len(life.values))
    swapped = Scorer.from_directory(another_version(model_dir, tmp_path / "other", "2"), NAMES[0])
    life.say(topics.scores, life.champion, everybody[:500])
    life.say(topics.scores, swapped, everybody[500:900])
    life.say(topics.scores, life.champion, everybody[:50])
    life.say(topics.shadow, life.challenger, everybody[::2])
    life.say(topics.shadow, life.challenger, everybody[:100:2])
    life.send(topics.shadow, b"no score")
    found = life.find()
    assert [(each.champion.digest, each.records) for each in found.compared] == [
        (life.champion.model.digest, 250),
        (swapped.model.digest, 200),
    ]
    left_out, alone = found.left_out, len(everybody[::2]) - 450
    assert (left_out.unreadable, left_out.repeated, left_out.without_champion) == (1, 50, alone)
    frame = features(read_snapshot())[:500:2]
    expected = life.challenger.risks(frame) - life.champion.risks(frame)
    assert found.compared[0].mean_difference == pytest.approx(expected.mean())
    assert found.compared[0].largest_difference == pytest.approx(np.abs(expected).max())


def test_memory_is_bounded_by_the_latest_scores(life: ScoredPatients) -> None:
    """Older scores of the challenger are excluded and reported."""
    topics, everybody = life.harness.topics, range(400)
    life.say(topics.scores, life.champion, everybody)
    life.say(topics.shadow, life.challenger, everybody)
    found = life.find(last=150)
    assert (sum(each.records for each in found.compared), found.left_out.older) == (150, 250)


def test_both_models_are_evaluated_on_the_same_outcomes(life: ScoredPatients) -> None:
    """An outcome counts for both or neither; the metrics are those of the same rows computed directly."""
    topics, everybody = life.harness.topics, range(len(life.values))
    life.say(topics.scores, life.champion, everybody)
    life.say(topics.shadow, life.challenger, everybody[::3])
    life.harness.producer.flush()
    labels = target(read_snapshot())
    for value, outcome in zip(life.values, labels.tolist(), strict=True):
        known = {"patient_id": json.loads(value)["patient_id"], "outcome": outcome}
        life.harness.send(OutgoingRecord(topics.outcomes, None, json.dumps(known).encode(), (), now()))
    [compared] = life.find(outcomes=10_000).compared
    frame = features(read_snapshot())[::3]
    direct = compare_outcomes(labels[::3], life.champion.risks(frame), life.challenger.risks(frame))
    by_outcomes = compared.by_outcomes
    assert by_outcomes is not None
    assert (by_outcomes.outcomes, by_outcomes.champion.events) == (len(frame), direct.champion.events)
    assert by_outcomes.champion.brier == pytest.approx(direct.champion.brier)
    assert by_outcomes.challenger.brier == pytest.approx(direct.challenger.brier)
    assert by_outcomes.brier_difference is not None
    assert direct.brier_difference is not None
    assert by_outcomes.brier_difference.low == pytest.approx(direct.brier_difference.low)
