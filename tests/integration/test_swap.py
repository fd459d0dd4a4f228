"""Laws of the hot swap, on real workers and gateways: every record has one score, by one of the two models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from heartstream.cli.adapt import adapt
from heartstream.cli.model import promote
from heartstream.demo.processes import Child
from schemas.codec import decode_score
from scoring.drift import ENOUGH_RECORDS
from scoring.scorer import Scorer
from tests.support.calls import PATIENTS, ask
from tests.support.drift import scrape
from tests.support.models import another_version, with_exchanged_labels
from tests.support.outcomes import Scored, process
from tests.support.public_copies import labelled
from tests.support.stream import Stream
from tests.support.workers import Starter, Workers

_FOLLOW = {"HEARTSTREAM_MODEL__RELOAD_INTERVAL_SECONDS": "0.1"}


class Store:
    """Two valid models, and a symbolic link to the one to serve."""

    def __init__(self, folder: Path, model_dir: Path) -> None:
        self.link = folder / "current"
        self.first, self.second = model_dir, another_version(model_dir, folder / "second", "2")
        self.exchanged = with_exchanged_labels(model_dir, folder / "exchanged")
        self.serve(self.first)
        self.scorers = {each.model.digest: each for each in map(Scorer.from_directory, (self.first, self.second))}
        self.second_digest = list(self.scorers)[1]

    def serve(self, model: Path) -> None:
        """Replace the link atomically, as `heartstream model promote` does."""
        moved = self.link.with_name("moved")
        moved.symlink_to(model)
        moved.replace(self.link)


@pytest.fixture
def store(tmp_path: Path, model_dir: Path) -> Store:
    return Store(tmp_path, model_dir)


def refused(child: Child) -> bool:
    """Whether a process reports that it refuses the current candidate."""
    return any(each.name == "heartstream_model_refused" and each.value == 1 for each in scrape(child))


def can_compare(child: Child) -> bool:
    """Whether a process has seen enough records to compare a candidate with the current model."""
    return any(
        each.name == "heartstream_drift_window_records" and each.value >= ENOUGH_RECORDS for each in scrape(child)
    )


def send_until(stream: Stream, condition: Callable[[], bool]) -> None:
    """Send patients and read their outcomes until the condition holds."""
    for start in range(0, 1_000_000, 100):
        for number in range(start, start + 100):
            stream.send(PATIENTS[number % len(PATIENTS)], b"%d" % number)
        stream.read_all()
        if condition():
            return
    raise AssertionError("it never came true")


def test_a_worker_swaps_models_without_losing_or_repeating_a_record(
    group_stream: Stream, workers: Workers, store: Store
) -> None:
    """Under load the second model is swapped in and a bad one refused; each score is by the model that it names."""
    stream, seen = group_stream, set()

    def second_scores() -> bool:
        seen.update(decode_score(result.value or b"").model.digest for result in stream.read if not result.letter)
        return store.second_digest in seen

    with workers.start(stream.address, HEARTSTREAM_MODEL__PATH=str(store.link), **_FOLLOW) as worker:
        worker.await_ready()
        send_until(stream, lambda: can_compare(worker))
        store.serve(store.second)
        send_until(stream, second_scores)
        store.serve(store.exchanged)
        send_until(stream, lambda: refused(worker))
        store.serve(store.second)
        send_until(stream, lambda: not refused(worker))
    assert (stream.answered, stream.repeated()) == (len(stream.sent), 0)
    for sent in stream.sent:
        result = stream.only(sent)
        if result.letter is None:
            scorer = store.scorers[decode_score(result.value or b"").model.digest]
            assert process([sent.value], [sent.source], scorer) == [Scored(result.value or b"")]
    swapped = [each.read_text(encoding="utf-8").count('"model swapped"') for each in workers.log_folder.glob("*.log")]
    assert swapped == [1]


def test_a_gateway_answers_every_request_during_swaps(start: Starter, store: Store) -> None:
    """`/model` shows the swapped model; a broken model is refused, and the current one keeps answering."""
    with start(MODEL__PATH=str(store.link), MODEL__RELOAD_INTERVAL_SECONDS="0.1") as gateway:
        answers = []

        def served() -> str:
            answers.extend(ask(gateway, "POST", "/predict", record) for record in PATIENTS[:20])
            return str(ask(gateway, "GET", "/model").json["model"]["digest"])

        while served() != store.second_digest:
            if len(answers) == 20:
                store.serve(store.second)
            assert len(answers) < 100_000
        (store.second / "manifest.json").write_text("{}")
        while not refused(gateway):
            served()
            assert len(answers) < 100_000
        assert served() == store.second_digest
    assert {answer.status for answer in answers} == {200}
    digests = {json.loads(answer.body)["model"]["digest"] for answer in answers}
    assert digests == set(store.scorers)


def test_a_gateway_serves_a_promoted_recalibrated_model(start: Starter, model_dir: Path, tmp_path: Path) -> None:
    """The gateway reloads the promoted model, and answers with its risks and its version."""
    store, new = tmp_path / "models", tmp_path / "new"
    adapt(model_dir, output=new, data=labelled("hungarian", tmp_path), up_to="intercept")
    scorer = Scorer.from_directory(new)
    promote(str(model_dir), store=store)
    with start(MODEL__PATH=str(store / "current"), MODEL__RELOAD_INTERVAL_SECONDS="0.1") as gateway:
        assert ask(gateway, "GET", "/model").json["model"]["version"] == "test"
        promote(str(new), store=store)
        served: dict[str, object] = {}
        for _ in range(100_000):
            served = ask(gateway, "POST", "/predict", PATIENTS[0]).json
            if served["model"] == msgspec.to_builtins(scorer.model):
                break
        answer = process([PATIENTS[0]], [None], scorer)
    assert [json.loads(each.value) for each in answer if isinstance(each, Scored)] == [served]
