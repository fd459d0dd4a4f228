"""A worker that cannot start or continue exits with a code, and reports the first cause."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from tests.support.stream import Stream
from tests.support.workers import GUARANTEE, Workers, reason_of_end, send_patients


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_committed_offset_beyond_the_end_stops_the_worker(stream: Stream, workers: Workers, guarantee: str) -> None:
    """The error names the partition, its end and the committed offset."""
    send_patients(stream, 0, 100)
    beyond = TopicPartition(stream.topics.patients, 0, 4_711)
    stream.commit(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"], [beyond])
    reason = reason_of_end(workers, stream.address, **{GUARANTEE: guarantee})
    assert f"partition 0 of {stream.topics.patients} ends at offset {stream.end_of(0)}, the group is at 4711" in reason


def test_a_changed_model_is_refused(stream: Stream, workers: Workers, model_dir: Path, tmp_path: Path) -> None:
    """A worker whose model directory was modified exits with code 65 and the reason."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model_dir.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "preprocessor.joblib").write_bytes(b"cos\nsystem\n")
    with workers.start(stream.address, HEARTSTREAM_MODEL__PATH=str(folder)) as worker:
        code = worker.process.wait(60)
    assert (code, "preprocessor.joblib: has 11 bytes" in workers.logs()) == (65, True)


def test_invalid_settings_are_reported_together(stream: Stream, workers: Workers) -> None:
    """The worker exits with code 78 and lists every invalid setting."""
    settings = {"HEARTSTREAM_WORKER__BATCH_RECORDS": "many", "HEARTSTREAM_WORKER__GRUOP_ID": "x"}
    with workers.start(stream.address, **settings) as worker:
        code = worker.process.wait(60)
    assert (code, [name for name in settings if name not in workers.logs()]) == (78, [])


def test_a_flood_of_bad_records_stops_the_worker(stream: Stream, workers: Workers) -> None:
    """If most records are rejected the worker exits with code 1 before it dead-letters them all.

    Records that it had read are not skipped: the next worker scores them (faust #527).
    """
    for number in range(20_000):
        stream.send(b'{"not": "a patient"}', str(number).encode())
    stream.flush()
    with workers.start(stream.address, HEARTSTREAM_WORKER__BATCH_RECORDS="500") as worker:
        code = worker.process.wait(60)
    stream.read_to_end()
    assert (code, "more than the limit of 50%" in workers.logs()) == (1, True)
    assert '"event": "process failed"' in workers.logs()
    assert stream.answered < 2_000
    with workers.start(stream.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1"):
        stream.read_all()
    assert stream.answered == 20_000


def test_a_lost_committed_offset_stops_the_worker(stream: Stream, workers: Workers) -> None:
    """Records that retention deleted before they were scored are reported: exit code 1, and how to proceed."""
    send_patients(stream, 0, 1_000)
    with workers.start(stream.address):
        stream.read_all()
    group = workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    stream.await_commits(group)
    send_patients(stream, 1_000, 3_000)
    ends = {partition: stream.end_of(partition) for partition in range(4)}
    stream.delete_before({partition: end - 10 for partition, end in ends.items()})
    with workers.start(stream.address) as worker:
        code = worker.process.wait(60)
    assert (code, "a committed offset is no longer retained" in workers.logs()) == (1, True)


def test_a_fenced_worker_stops(stream: Stream, workers: Workers) -> None:
    """A worker whose static membership is taken over exits with code 1 instead of staying idle and healthy."""
    settings = {"HEARTSTREAM_WORKER__INSTANCE_ID": "the-same"}
    with workers.start(stream.address, **settings) as first:
        first.await_ready()
        with workers.start(stream.address, **settings) as second:
            code = first.process.wait(60)
            send_patients(stream, 0, 100)
            stream.read_all()
            second.check()
    assert (code, stream.answered, "_FATAL" in workers.logs()) == (1, 100, True)
