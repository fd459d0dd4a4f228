"""The commands around a stream, with other people's patients and tables: real patients, invalid records among them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heartstream.demo.patients import Record, flaws_of
from heartstream.demo.processes import running
from heartstream.monitoring.outcomes.calibration import calibration_metrics
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from runtime.settings import Topics
from schemas.tables.feature_table import PATIENT_ID
from scoring.scorer import Scorer
from tests.support.cohorts import FLCHAIN, WDBC, Cohort, with_cohorts
from tests.support.dlq_harness import DlqHarness, await_letters, drift_report, now
from tests.support.outcomes import Rejected, Scored, process
from tests.support.stream import PARTITIONS, Stream
from tests.support.verify_harness import VerifyHarness, read_scores
from tests.support.workers import Workers
from training.data.frames import features, target
from training.pipeline import TrainingResult, load_patients

pytestmark = pytest.mark.timeout(1_200)
"""The first test of a cohort trains it, and 7,679 patients take minutes on a machine with other load."""
MOST = 1_500
"""Patients of the larger cohort that are sent, a random sample."""


class Hospital:
    """A cohort's model, and its patients as they are sent, each with the known outcome."""

    def __init__(self, result: TrainingResult, cohort: Cohort, folder: Path) -> None:
        self.folder, self.table = result.folder, result.table
        self.scorer = Scorer.from_directory(self.folder)
        frame = load_patients(cohort.request(folder)).frame
        frame = frame.sample(min(MOST, len(frame)), random_state=1)
        self.matrix, self.labels = features(frame), target(frame)
        self.patients: list[Record] = [
            {PATIENT_ID: f"p-{number}", **self.table.fields_of(row)} for number, row in enumerate(self.matrix.tolist())
        ]

    def send(self, stream: Stream) -> None:
        """Send all patients, and a record with each flaw among them."""
        flaws = list(flaws_of(self.table).values())
        every = len(self.patients) // len(flaws)
        for number, patient in enumerate(self.patients):
            stream.send(json.dumps(patient).encode(), str(patient[PATIENT_ID]).encode())
            if number % every == 0 and number // every < len(flaws):
                stream.send(flaws[number // every](dict(patient)), b"bad-%d" % number)
        stream.flush()


@pytest.fixture(
    scope="module", params=[pytest.param(FLCHAIN, marks=with_cohorts), WDBC], ids=lambda cohort: cohort.name
)
def hospital(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    result = request.param.trained(tmp_path_factory)
    return Hospital(result, request.param, tmp_path_factory.mktemp("patients"))


@pytest.fixture
def own_workers(hospital: Hospital, topics: Topics, tmp_path: Path) -> Workers:
    return Workers(hospital.folder, topics, tmp_path)


@pytest.fixture
def scored(stream: Stream, own_workers: Workers, hospital: Hospital) -> VerifyHarness:
    """The stream, scored by a worker."""
    with own_workers.start(stream.address) as worker:
        worker.await_ready()
        hospital.send(stream)
        stream.read_all()
    return VerifyHarness(stream, own_workers)


def dlq(scored: VerifyHarness) -> DlqHarness:
    return DlqHarness(scored.stream.address, scored.stream.topics, scored.workers.settings)


def test_every_score_is_verified_and_can_be_made_again(scored: VerifyHarness, hospital: Hospital) -> None:
    """One outcome a record, as the core gives it; `verify` proves all scores; `replay` gives those of another model."""
    stream = scored.stream
    assert (stream.answered, stream.repeated()) == (len(stream.sent), 0)
    for sent in stream.sent:
        found = stream.only(sent)
        (expected,) = process([sent.value], [sent.source], hospital.scorer)
        if isinstance(expected, Rejected):
            assert found.letter is not None
            assert found.letter.errors == expected.issues
        else:
            assert (found.letter, found.value) == (None, expected.value)
    assert scored.verify() == (0, [], {"verified": len(hospital.patients)})
    target_topic = f"{stream.topics.scores}-replay"
    create_topics(stream.address, [target_topic], PARTITIONS, {})
    done = scored.run("replay", "--to-topic", target_topic, "--name", "random_forest")
    assert done.returncode == 0, done.stderr
    forest = Scorer.from_directory(hospital.folder, "random_forest")
    again = ((sent, process([sent.value], [sent.source], forest)[0]) for sent in stream.sent)
    assert read_scores(stream.address, target_topic) == {
        sent.source: (sent.key, each.value) for sent, each in again if isinstance(each, Scored)
    }


def test_drift_is_measured_by_the_fields_of_the_table(scored: VerifyHarness, hospital: Hospital) -> None:
    """The training patients do not drift; those with the highest values of one field do, in this field."""
    found = drift_report(dlq(scored), "--topic", str(len(scored.stream.sent)), "--fail-on-drift")
    letters = Counter(each.letter.errors[0].code for each in scored.stream.read if each.letter)
    assert (found["drift"]["records"], found["rejected"]) == (len(hospital.patients), letters)
    assert list(found["drift"]["psi"]) == list(hospital.table.names)
    name = hospital.table.names[0]
    highest = sorted(hospital.patients, key=lambda patient: -float(str(patient[name])))[: len(hospital.patients) // 2]
    path = scored.workers.log_folder / "highest.ndjson"
    path.write_text("".join(f"{json.dumps(patient)}\n" for patient in highest))
    report = path.with_suffix(".html")
    done = scored.run("drift", str(path), "--json", "--fail-on-drift", "-o", str(report))
    assert (done.returncode, name in json.loads(done.stdout)["fields"]) == (1, True), done.stderr
    shown = {*re.findall(r'<th scope="row">([^<]*)</th>', report.read_text("utf-8"))}
    assert [text for text in labels_of(hospital) if text not in shown] == []


def test_known_outcomes_judge_the_scores(scored: VerifyHarness, hospital: Hospital) -> None:
    """Events, Brier score and ROC-AUC are those of risks and outcomes directly."""
    harness, topic = dlq(scored), scored.stream.topics.outcomes
    create_topics(scored.stream.address, [topic], PARTITIONS, {})
    for patient, label in zip(hospital.patients, hospital.labels.tolist(), strict=True):
        value = json.dumps({PATIENT_ID: patient[PATIENT_ID], "outcome": label}).encode()
        harness.producer.produce(topic, value, str(patient[PATIENT_ID]).encode(), timestamp=now())
    assert harness.producer.flush(60) == 0
    done = scored.run("outcomes", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["models"]
    direct = calibration_metrics(hospital.labels, hospital.scorer.risks(hospital.matrix))
    assert (found["all"]["outcomes"], found["all"]["events"]) == (len(hospital.patients), int(hospital.labels.sum()))
    for name in ("mean_risk", "brier", "roc_auc"):
        assert found["all"][name] == pytest.approx(getattr(direct, name), abs=1e-6), name


def test_dead_letters_are_redriven(scored: VerifyHarness, hospital: Hospital) -> None:
    """Each comes back once, with the key, value and codes of the first time: its record is as invalid as before."""
    harness, flaws = dlq(scored), len(flaws_of(hospital.table))
    done = harness.run("redrive", "--yes")
    assert done.stdout.splitlines()[0] == f"redriven: {flaws} dead letters", done.stderr
    with scored.workers.start(scored.stream.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1"):
        await_letters(harness, 2 * flaws)
    seen = Counter((one.key, one.value, one.codes) for one in harness.dead())
    assert (len(seen), {*seen.values()}) == (flaws, {2})


def labels_of(hospital: Hospital) -> list[str]:
    """Return the text codes as the report has them."""
    return [
        label if label == meaning else f"{label}: {meaning}"
        for feature in hospital.table.features
        for label, (_, meaning) in zip(feature.labels, feature.codes, strict=bool(feature.labels))
    ]


@pytest.fixture
def refusal(hospital: Hospital, model_dir: Path) -> str:
    """Why a model of the built-in table is refused."""
    other = Scorer.from_directory(model_dir)
    reason = f"its feature table is {other.compiled.table.identifier}, not {hospital.table.identifier}"
    return f"{other.model.digest}: {reason}: serve it apart, with topics of its own"


def reasons(workers: Workers, event: str) -> Iterator[Any]:
    for line in workers.logs().splitlines():
        if line.startswith("{") and (found := json.loads(line))["event"] == event:
            yield found.get("reason") or found.get("exception")


def test_a_canary_and_a_swap_with_another_table_are_refused(
    stream: Stream, own_workers: Workers, hospital: Hospital, refusal: str, model_dir: Path, tmp_path: Path
) -> None:
    """The log names both tables; the model in use scores every record."""
    link = tmp_path / "current"
    link.symlink_to(hospital.folder)
    settings = {
        "HEARTSTREAM_MODEL__PATH": str(link),
        "HEARTSTREAM_MODEL__RELOAD_INTERVAL_SECONDS": "0.1",
        "HEARTSTREAM_CHALLENGER__PATH": str(model_dir),
        "HEARTSTREAM_CHALLENGER__CANARY_SHARE": "0.5",
    }
    with own_workers.start(stream.address, **settings) as worker:
        worker.await_ready()
        (moved := tmp_path / "moved").symlink_to(model_dir)
        moved.replace(link)
        stream.read_until(lambda: any(reasons(own_workers, "model refused")))
        hospital.send(stream)
        stream.read_all()
    assert {*reasons(own_workers, "canary refused")} == {*reasons(own_workers, "model refused")} == {f"model {refusal}"}
    assert (stream.answered, stream.repeated()) == (len(stream.sent), 0)
    scores = [json.loads(each.value or b"") for each in stream.read if each.letter is None]
    assert {score["model"]["digest"] for score in scores} == {hospital.scorer.model.digest}


def test_a_shadow_with_another_table_does_not_start(
    stream: Stream, own_workers: Workers, refusal: str, model_dir: Path, tmp_path: Path
) -> None:
    """Exit code 65, and the reason."""
    log = tmp_path / "worker-shadow.log"
    settings = {
        **own_workers.settings,
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": stream.address,
        "HEARTSTREAM_CHALLENGER__PATH": str(model_dir),
        "HEARTSTREAM_TELEMETRY__PORT": str(port := free_port()),
    }
    with running("shadow", settings, f"http://127.0.0.1:{port}", log) as shadow:
        assert shadow.process.wait(60) == 65
    assert f"challenger {refusal}" in log.read_text()
