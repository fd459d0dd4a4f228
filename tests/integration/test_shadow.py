"""Laws of the challenger in shadow, on real brokers: it scores the sample, and the champion's stream is unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartstream.demo.patients import FLAWS, real_patients
from heartstream.demo.processes import Child, running
from runtime.kafka.range_reader import Reader
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from runtime.settings import Kafka, Settings
from schemas.codec import decode_score
from schemas.records import Source
from scoring.scorer import Scorer
from tests.support.drift import scrape
from tests.support.models import with_exchanged_labels
from tests.support.outcomes import Rejected, Scored, process
from tests.support.stream import Stream
from tests.support.workers import Workers
from worker.canary import KeySampler
from worker.shadow import GROUP_SUFFIX, Sample

SHARE = 0.25


class Trial:
    """A stream with a champion, and a challenger whose labels are swapped."""

    def __init__(self, stream: Stream, workers: Workers, challenger: Path) -> None:
        self.stream, self.workers, self.challenger = stream, workers, challenger
        create_topics(stream.address, [stream.topics.shadow], 4, {})

    @contextmanager
    def shadow(self, **settings: str) -> Iterator[Child]:
        """Run the challenger in shadow mode."""
        port = str(free_port())
        own = {
            "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.stream.address,
            "HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "6000",
            "HEARTSTREAM_TELEMETRY__PORT": port,
            "HEARTSTREAM_CHALLENGER__PATH": str(self.challenger),
            "HEARTSTREAM_CHALLENGER__SAMPLE_RATIO": str(SHARE),
        }
        log = self.workers.log_folder / f"worker-{port}.log"
        with running("shadow", {**self.workers.settings, **own, **settings}, f"http://127.0.0.1:{port}", log) as child:
            yield child

    def send(self, records: int) -> None:
        patients = real_patients()
        for number in range(records):
            self.stream.send(json.dumps(patients[number % len(patients)]).encode(), b"%d" % number)
        for flaw in FLAWS.values():
            self.stream.send(flaw(dict(patients[0])), b"bad")
        self.stream.flush()

    def await_commits(self) -> None:
        self.stream.await_commits(self.workers.settings["HEARTSTREAM_WORKER__GROUP_ID"] + GROUP_SUFFIX)

    def scores(self) -> dict[Source, list[tuple[bytes | None, bytes]]]:
        """Return the records of the challenger's topic, by source."""
        found: dict[Source, list[tuple[bytes | None, bytes]]] = {}
        with Reader.open(Settings(kafka=Kafka(bootstrap_servers=self.stream.address))) as reader:
            topic = self.stream.topics.shadow
            for message in reader.read(topic, reader.ranges(topic)):
                source = decode_score(message.value() or b"").source
                assert source is not None
                found.setdefault(source, []).append((message.key(), message.value() or b""))
        return found

    def expected(self) -> dict[Source, tuple[bytes | None, bytes]]:
        """Return what the challenger alone would score for the sample."""
        scorer, sample = Scorer.from_directory(self.challenger), Sample(SHARE)
        made = {
            sent.source: (sent.key, process([sent.value], [sent.source], scorer)[0])
            for sent in self.stream.sent
            if sample.selects(sent.source)
        }
        return {source: (key, each.value) for source, (key, each) in made.items() if isinstance(each, Scored)}


@pytest.fixture
def trial(group_stream: Stream, workers: Workers, model_dir: Path, tmp_path: Path) -> Trial:
    return Trial(group_stream, workers, with_exchanged_labels(model_dir, tmp_path / "exchanged"))


def test_the_sample_is_scored_and_the_stream_is_unchanged(trial: Trial) -> None:
    """The challenger writes its own scores of the sample, to the byte and once; the champion scores everything."""
    stream = trial.stream
    with trial.workers.start(stream.address) as worker, trial.shadow() as shadow:
        worker.await_ready()
        shadow.await_ready()
        trial.send(2_000)
        stream.read_all()
        trial.await_commits()
        metrics = {(each.name, *each.labels.values()): each.value for each in scrape(shadow)}
    expected = trial.expected()
    assert trial.scores() == {source: [score] for source, score in expected.items()}
    assert (stream.answered, stream.repeated()) == (2_000 + len(FLAWS), 0)
    assert sum(result.letter is not None for result in stream.read) == len(FLAWS)
    both = [metrics["heartstream_shadow_records_total", each] for each in ("same_label", "other_label")]
    assert sum(both) == len(expected)
    assert both[1] > both[0]
    risks = {source: decode_score(score).risk for source, (_, score) in expected.items()}
    results = (stream.results[source][0].value or b"" for source in expected)
    differences = [risk - decode_score(first).risk for risk, first in zip(risks.values(), results, strict=True)]
    gap = [metrics["heartstream_shadow_risk_difference_total", each] for each in ("higher", "lower")]
    assert gap[0] == pytest.approx(sum(max(each, 0) for each in differences))
    assert gap[1] == pytest.approx(sum(max(-each, 0) for each in differences))
    # Nobody waits for a challenger, so its latency is not the stream's.
    assert metrics["heartstream_end_to_end_latency_seconds_count",] == 0


def test_a_killed_challenger_loses_nothing(trial: Trial) -> None:
    """After a restart it scores what it had not committed, with the same bytes; the champion is not affected."""
    stream = trial.stream
    with trial.workers.start(stream.address) as worker:
        worker.await_ready()
        with trial.shadow() as shadow:
            shadow.await_ready()
            trial.send(1_000)
            shadow.process.kill()
        trial.send(1_000)
        with trial.shadow() as shadow:
            shadow.await_ready()
            trial.await_commits()
        stream.read_all()
    found = trial.scores()
    assert {source: set(scores) for source, scores in found.items()} == {
        source: {score} for source, score in trial.expected().items()
    }
    assert (stream.answered, stream.repeated()) == (2_000 + 2 * len(FLAWS), 0)


def test_a_canary_scores_only_its_keys(trial: Trial, model_dir: Path) -> None:
    """With two workers, each record is scored once, with the bytes of the model that its key selects."""
    stream, share = trial.stream, "0.25"
    settings = {
        "HEARTSTREAM_CHALLENGER__PATH": str(trial.challenger),
        "HEARTSTREAM_CHALLENGER__CANARY_SHARE": share,
        # Without a drift window nothing is compared, so the canary scores from its first record on.
        "HEARTSTREAM_DRIFT__WINDOW_RECORDS": "0",
    }
    with (
        trial.workers.start(stream.address, **settings) as one,
        trial.workers.start(stream.address, **settings) as other,
    ):
        one.await_ready()
        other.await_ready()
        stream.await_members(trial.workers.settings["HEARTSTREAM_WORKER__GROUP_ID"], 2)
        trial.send(2_000)
        stream.read_all()
        canaries = [each for process in (one, other) for each in scrape(process) if "heartstream_canary" in each.name]
    takes = KeySampler(float(share)).selects
    champion, challenger = Scorer.from_directory(model_dir), Scorer.from_directory(trial.challenger)
    digest = challenger.model.digest
    for sent in stream.sent:
        (found,) = stream.results[sent.source]
        (expected,) = process([sent.value], [sent.source], challenger if takes(sent.key) else champion)
        if isinstance(expected, Rejected):
            assert found.letter is not None
        else:
            assert found.value == expected.value
    assert (stream.answered, stream.repeated()) == (2_000 + len(FLAWS), 0)
    assert [each.labels["digest"] for each in canaries if each.name == "heartstream_canary_info"] == [digest] * 2
    assert sum(each.value for each in canaries if each.name == "heartstream_canary_records_total") == sum(
        takes(sent.key) for sent in stream.sent
    )


def test_an_invalid_challenger_does_not_start(trial: Trial) -> None:
    """The exit code is 65 for a model that does not match its manifest, and 78 where none is configured."""
    (trial.challenger / "report.json").write_text("{}")
    with trial.shadow() as shadow:
        assert shadow.process.wait(60) == 65
    with trial.shadow(HEARTSTREAM_CHALLENGER__PATH="") as shadow:
        assert shadow.process.wait(60) == 78
    with trial.workers.start(trial.stream.address, HEARTSTREAM_CHALLENGER__CANARY_SHARE="0.1") as worker:
        assert worker.process.wait(60) == 78
