"""The Kafka interface, on real brokers with real worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from heartstream.demo.patients import FLAWS
from runtime.kafka.topics import LARGEST_RECORD_BYTES, create_topics
from runtime.settings import Topics
from schemas.deduplication import RepeatFilter
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected, shows_another_coding
from tests.support.outcomes import Scored, process
from tests.support.stream import Stream
from tests.support.uci import validate
from tests.support.workers import _PATIENTS, Workers, crash_three_times, patient, send_patients

SLOWLY = {
    "HEARTSTREAM_WORKER__BATCH_RECORDS": "20",
    "HEARTSTREAM_WORKER__IN_FLIGHT_MAX_RECORDS": "100",
    "HEARTSTREAM_KAFKA__OPTIONS__LINGER_MS": "50",
}
"""So that a worker is in mid-stream for many seconds, however busy the machine of the test is."""


@pytest.mark.parametrize("pure_python", [False, True], ids=["cython", "pure"])
def test_every_record_has_exactly_one_outcome(
    every_broker: str, topics: Topics, workers: Workers, scorer: Scorer, *, pure_python: bool
) -> None:
    """920 real patients and 14 kinds of invalid records have one outcome each, equal to that of scoring."""
    with Stream.open(every_broker, topics) as stream:
        for number, record in enumerate(_PATIENTS):
            stream.send(json.dumps(record).encode(), f"key-{number}".encode())
        for name, flaw in FLAWS.items():
            stream.send(flaw(dict(_PATIENTS[0])), name.encode(), [("trace", b"1")])
        environment = {"NO_CYTHON": "1"} if pure_python else {}
        with workers.start(every_broker, **environment) as worker:
            worker.await_ready()
            stream.read_all()
        assert (len(stream.sent), stream.answered, stream.repeated()) == (934, 934, 0)
        for sent in stream.sent:
            result = stream.only(sent)
            (expected,) = process([sent.value], [sent.source], scorer)
            assert result.key == sent.key
            if isinstance(expected, Scored):
                assert result.value == expected.value
            else:
                assert result.letter is not None
                assert (result.value, result.letter.errors) == (sent.value, expected.issues)
                assert ("trace", b"1") in result.headers


def test_every_example_of_the_contract_has_its_outcome(stream: Stream, workers: Workers, scorer: Scorer) -> None:
    """Each accepted and rejected example has the same outcome over Kafka as in scoring."""
    values = [value for _, value in accepted()] + [value for _, value, _ in rejected()]
    with workers.start(stream.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1"):
        # Those that show another coding come later: what is read with them would be refused with them.
        for foreign in (False, True):
            for value in values:
                if shows_another_coding(value) == foreign:
                    stream.send(value)
            stream.read_all()
    for sent in stream.sent:
        (expected,) = process([sent.value], [sent.source], scorer)
        result = stream.only(sent)
        if isinstance(expected, Scored):
            assert result.value == expected.value
        else:
            assert result.letter is not None
            assert (result.value or b"", result.letter.errors) == (sent.value, expected.issues)


def test_a_result_keeps_its_records_key_and_partition(stream: Stream, workers: Workers) -> None:
    """Both sides use the same partitioner: a key's scores are in its records' partition, in order."""
    send_patients(stream, 0, 200)
    with workers.start(stream.address):
        stream.read_all()
    moved = [sent for sent in stream.sent if stream.only(sent).partition != sent.source.partition]
    assert moved == []
    for partition in range(4):
        ordered = sorted(
            (s.source.offset, stream.only(s).offset) for s in stream.sent if s.source.partition == partition
        )
        assert [result for _, result in ordered] == sorted(result for _, result in ordered)


def test_a_value_of_ten_megabytes_is_dead_lettered_whole(stream: Stream, workers: Workers) -> None:
    """A value that is far too large for a patient record is dead-lettered with all its bytes."""
    value = b"x" * 10_000_000
    assert len(value) < LARGEST_RECORD_BYTES
    stream.send(value, b"large")
    stream.send(patient(1)[1], b"small")
    with workers.start(stream.address):
        stream.read_all()
    large = next(sent for sent in stream.sent if sent.key == b"large")
    result = stream.only(large)
    assert result.letter is not None
    assert ([issue.code for issue in result.letter.errors], result.value == value) == (["too_large"], True)


def test_stopping_and_starting_loses_and_repeats_nothing(stream: Stream, workers: Workers) -> None:
    """On SIGTERM started batches are confirmed and committed, and the next worker continues from there."""
    send_patients(stream, 0, 40_000)
    left = []
    for _ in range(2):
        target = stream.answered + 1_000
        with workers.start(stream.address, **SLOWLY) as worker:
            stream.read_until(lambda target=target: stream.answered >= target)
        assert worker.process.returncode == 0
        stream.read_to_end()
        left.append(len(stream.sent) - stream.answered)
    with workers.start(stream.address):
        stream.read_all()
    assert all(left), "the workers were stopped too late to be in mid-stream"
    assert (stream.answered, stream.repeated()) == (40_000, 0)


def test_killing_loses_nothing_and_repeats_the_same_bytes(group_stream: Stream, workers: Workers) -> None:
    """After SIGKILL every record has an outcome; repeats are byte-identical, and the repeat filter drops them."""
    stream = group_stream
    send_patients(stream, 0, 40_000)
    settings = {"HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "6000"}
    with workers.start(stream.address, **settings, **SLOWLY) as worker:
        stream.read_until(lambda: stream.answered >= 2_000)
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
    stream.read_to_end()
    left = len(stream.sent) - stream.answered
    with workers.start(stream.address, **settings):
        stream.read_all()
    different = [source for source, results in stream.results.items() if len({r.value for r in results}) != 1]
    assert left, "the worker was killed too late to be in mid-stream"
    assert (stream.answered, different) == (40_000, [])
    seen = RepeatFilter()
    assert sum(seen.is_new(result.partition, result.source) for result in stream.read) == 40_000


def test_the_repeat_filter_distinguishes_repeats_of_records_without_a_key(
    broker: str, topics: Topics, workers: Workers
) -> None:
    """After three kills, with 12 partitions and batches of five, it drops no new result and keeps no repeat."""
    settings = {
        "HEARTSTREAM_WORKER__BATCH_RECORDS": "20",
        "HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "6000",
        "HEARTSTREAM_KAFKA__OPTIONS__BATCH_NUM_MESSAGES": "5",
    }
    with Stream.open(broker, topics, partitions=12) as stream:
        for number in range(20_000):
            stream.send(b"{}" if number % 10 == 0 else patient(number)[1])
        stream.flush()
        crash_three_times(stream, workers, settings, every=1_000)
    assert stream.repeated(), "nothing was repeated"
    for letters in (False, True):
        seen = RepeatFilter()
        results = [result for result in stream.read if (result.letter is not None) == letters]
        new = [result.source for result in results if seen.is_new(result.partition, result.source)]
        assert sorted(new, key=str) == sorted({result.source for result in results}, key=str)


def test_joining_and_leaving_loses_and_repeats_nothing(group_stream: Stream, workers: Workers) -> None:
    """A second worker joins and leaves twice while records flow; everything is committed (faust #502, #596)."""
    stream = group_stream
    settings = {"HEARTSTREAM_WORKER__BATCH_RECORDS": "50"}
    with workers.start(stream.address, **settings) as first:
        first.await_ready()
        for start in (0, 20_000):
            send_patients(stream, start, start + 10_000)
            with workers.start(stream.address, **settings) as second:
                send_patients(stream, start + 10_000, start + 15_000)
                second.await_ready()
                send_patients(stream, start + 15_000, start + 20_000)
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
    assert (stream.answered, stream.repeated()) == (40_000, 0)


def test_a_worker_without_partitions_leaves_its_group(group_stream: Stream, workers: Workers) -> None:
    """An idle worker leaves the group when it stops, long before its session expires."""
    topic = f"{group_stream.topics.patients}-narrow"
    create_topics(group_stream.address, [topic], 1, {})
    settings = {"HEARTSTREAM_TOPICS__PATIENTS": topic, "HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "250000"}
    group = workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    with workers.start(group_stream.address, **settings) as first:
        first.await_ready()
        with workers.start(group_stream.address, **settings) as idle:
            idle.await_ready()
            group_stream.await_members(group, 2)
        group_stream.await_members(group, 1)


def test_fausts_own_command_runs_the_worker(stream: Stream, workers: Workers) -> None:
    """`faust -A worker.app worker` is the same worker."""
    send_patients(stream, 0, 100)
    environment = {
        **os.environ,
        **workers.settings,
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": stream.address,
        "HEARTSTREAM_TELEMETRY__PORT": "0",
    }
    command = [sys.executable, "-m", "faust", "-A", "worker.app", "worker", "--without-web"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        stream.read_all()
    finally:
        process.terminate()
        code = process.wait(60)
    assert (code, stream.answered, stream.repeated()) == (0, 100, 0)


def test_no_patient_is_in_logs_metrics_or_dead_letter_headers(stream: Stream, workers: Workers) -> None:
    """Marker values occur only in the records' own keys and values."""
    marker = "Zebra-4711"
    good = {**_PATIENTS[0], "patient_id": marker}
    bad = [flaw(dict(good)) for flaw in FLAWS.values()]
    bad += [json.dumps({**good, "age": marker}).encode(), json.dumps({**good, marker: 1}).encode()]
    # One in another coding among so few would condemn the good one, too.
    for value in [*[json.dumps(good).encode()] * 40, *bad]:
        stream.send(value, marker.encode())
    with workers.start(stream.address, HEARTSTREAM_TELEMETRY__LOG_LEVEL="DEBUG") as worker:
        worker.await_ready()
        stream.read_all()
        with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as response:
            metrics = response.read().decode()
    headers = repr([result.headers for results in stream.results.values() for result in results])
    assert 'heartstream_records_total{interface="kafka",outcome="rejected"} 16.0' in metrics
    assert marker not in metrics + workers.logs() + headers


def test_dead_letters_list_every_issue(stream: Stream, workers: Workers) -> None:
    """The header has the same issues as `validate` finds, and the headers of Kafka Streams name the source."""
    value = json.dumps({**_PATIENTS[0], "age": 630, "thal": 2, "sex": True}).encode()
    stream.send(value, b"k")
    with workers.start(stream.address):
        stream.read_all()
    result = stream.only(stream.sent[0])
    headers = dict(result.headers)
    assert result.letter is not None
    assert result.letter.errors == validate(value)
    assert headers["__streams.errors.topic"] == stream.topics.patients.encode()
    assert headers["__streams.errors.message"] == b"out_of_range at /age; wrong_type at /sex; foreign_code at /thal"
