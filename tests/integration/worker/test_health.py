"""Health and lag of real workers: blocked scoring, an unreachable broker, revoked partitions."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heartstream.demo.processes import Child
from runtime.ports import free_port
from runtime.settings import Topics
from tests.integration.worker.freezing import write_freezing_model
from tests.support.brokers import cut_off
from tests.support.stream import Stream
from tests.support.worker_health import await_health, checks, metric, wait_until
from tests.support.workers import Workers, patient, send_patients

STALL_SECONDS = 3.0


@pytest.fixture
def frost(tmp_path: Path) -> Path:
    """While this file exists, a model of `freezing_workers` hangs."""
    return tmp_path / "frost"


@pytest.fixture
def freezing_workers(workers: Workers, tmp_path: Path, frost: Path) -> Workers:
    write_freezing_model(tmp_path / "freezing", frost)
    workers.settings |= {
        "HEARTSTREAM_MODEL__PATH": str(tmp_path / "freezing"),
        "HEARTSTREAM_WORKER__STALL_SECONDS": str(STALL_SECONDS),
    }
    return workers


def test_a_worker_whose_scoring_hangs_is_not_live(stream: Stream, freezing_workers: Workers, frost: Path) -> None:
    """It fails liveness after the stall seconds, and passes again when scoring continues."""
    with freezing_workers.start(stream.address) as worker:
        worker.await_ready()
        assert (checks(worker, "/health/startup")[0], checks(worker, "/health/live")[0]) == (200, 200)
        frost.touch()
        send_patients(stream, 0, 100)
        status_of = await_health(worker, "/health/live", 503)
        assert status_of["event loop"].startswith("the event loop has been blocked for ")
        assert [problem for name, problem in status_of.items() if name != "event loop"] == ["ok", "ok", "ok"]
        frost.unlink()
        await_health(worker, "/health/ready", 200)
        stream.read_all()
    assert (stream.answered, stream.repeated()) == (100, 0)


def test_lag_is_reported_in_records_and_in_seconds(stream: Stream, freezing_workers: Workers, frost: Path) -> None:
    """It counts unconfirmed records, including fetched ones; in seconds it is the oldest record's age."""
    with freezing_workers.start(stream.address) as worker:
        worker.await_ready()
        assert metric(worker, "end_to_end_latency_seconds_count") == 0
        frost.touch()
        sent = time.time()
        send_patients(stream, 0, 300)
        wait_until(
            lambda: metric(worker, "consumer_lag_records") == 300,
            lambda: metric(worker, "consumer_lag_records"),
        )
        wait_until(lambda: (metric(worker, "in_flight_batches") or 0) > 0, lambda: "nothing outstanding")
        wait_until(lambda: (metric(worker, "consumer_lag_seconds", partition="0") or 0) > 2, lambda: "lag is too young")
        assert (metric(worker, "consumer_lag_seconds", partition="0") or 0) <= time.time() - sent
        frost.unlink()
        stream.read_all()
        wait_until(
            lambda: metric(worker, "consumer_lag_records") == 0,
            lambda: metric(worker, "consumer_lag_records"),
        )
        assert metric(worker, "consumer_lag_seconds") == 0
        assert metric(worker, "end_to_end_latency_seconds_count") == 300
        assert (metric(worker, "end_to_end_latency_seconds_sum") or 0) / 300 > 1


def test_dead_letters_are_counted_by_code(stream: Stream, workers: Workers) -> None:
    """Each confirmed dead letter counts once, by the code of its first issue."""
    stream.send(b"not json")
    stream.send(b"nor this")
    stream.send(json.dumps({**json.loads(patient(1)[1]), "age": 630, "thal": 2}).encode())
    with workers.start(stream.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1") as worker:
        worker.await_ready()
        stream.read_all()
        counted = {code: metric(worker, "dead_letters_total", code=code) for code in ("not_json", "out_of_range")}
        assert (counted, metric(worker, "dead_letters_total")) == ({"not_json": 2, "out_of_range": 1}, 3)


def test_an_unreachable_broker_makes_a_worker_not_ready_but_live(own_stream: Stream, workers: Workers) -> None:
    """Even for longer than the stall limit and with lag; afterwards every record is scored."""
    stream = own_stream
    send_patients(stream, 0, 40_000)
    settings = {"HEARTSTREAM_WORKER__BATCH_RECORDS": "20", "HEARTSTREAM_WORKER__STALL_SECONDS": str(STALL_SECONDS)}
    with workers.start(stream.address, **settings) as worker:
        stream.read_until(lambda: stream.answered >= 1_000)
        with cut_off(stream.address):
            status_of = await_health(worker, "/health/ready", 503)
            wait_until(lambda: checks(worker, "/health/ready")[1]["broker"] != "ok", lambda: status_of)
            waiting = metric(worker, "consumer_lag_records") or 0
            assert (checks(worker, "/health/live")[0], waiting > 0) == (200, True)
        stream.read_until(lambda: stream.answered == len(stream.sent))
        await_health(worker, "/health/ready", 200)
    assert (stream.answered, worker.process.returncode) == (40_000, 0)


def test_a_worker_without_partitions_is_ready(
    group_stream: Stream, broker: str, topics: Topics, workers: Workers
) -> None:
    """With one partition for two workers both are ready; the owner stays ready after losing it while suspended."""
    del group_stream
    alone = Topics(patients=f"{topics.patients}-one", scores=f"{topics.scores}-one", dead_letters=topics.dead_letters)
    settings = {
        "HEARTSTREAM_TOPICS__PATIENTS": alone.patients,
        "HEARTSTREAM_TOPICS__SCORES": alone.scores,
        "HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "6000",
    }
    with Stream.open(broker, alone, partitions=1) as stream, workers.start(broker, **settings) as first:
        first.await_ready()
        with workers.start(broker, **settings) as second:
            second.await_ready()
            assert [metric(worker, "assigned_partitions") for worker in (first, second)] == [1, 0]
            first.process.send_signal(signal.SIGSTOP)
            try:
                wait_until(lambda: metric(second, "assigned_partitions") == 1, lambda: "the partition did not move")
            finally:
                first.process.send_signal(signal.SIGCONT)
            wait_until(lambda: metric(first, "rebalances_total", kind="lost") == 1, lambda: "nothing is lost")
            await_health(first, "/health/ready", 200)
            assert (metric(first, "assigned_partitions"), metric(first, "consumer_lag_records")) == (
                0,
                None,
            )
            send_patients(stream, 0, 100)
            stream.read_all()
            assert (stream.answered, metric(second, "records_total", outcome="scored")) == (100, 100)


def test_a_worker_starts_without_a_broker(workers: Workers) -> None:
    """It is started and live but not ready: restarting it would not bring the broker back."""
    with workers.start(f"127.0.0.1:{free_port()}") as worker:
        wait_until(lambda: startup(worker) == 200, lambda: startup(worker))
        status, status_of = checks(worker, "/health/ready")
        assert (checks(worker, "/health/live")[0], status) == (200, 503)
        assert status_of["broker"] == "the broker has not answered yet"
        assert status_of["group"] == "not a member of the consumer group"
    assert worker.process.returncode == 0


def startup(worker: Child) -> int:
    """Return the status of the startup probe; 0 until the worker listens."""
    worker.check()
    try:
        return checks(worker, "/health/startup")[0]
    except OSError:
        return 0


def test_a_port_in_use_is_reported(model_dir: Path) -> None:
    """A second worker on the same host names the setting to change in one line and exits as a gateway does."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_TELEMETRY__PORT": str(port)}
        done = subprocess.run(
            [sys.executable, "-m", "heartstream", "worker"],
            env={**os.environ, **settings, "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"},
            capture_output=True,
            text=True,
            check=False,
        )
    status_of = f"heartstream: cannot listen at 127.0.0.1:{port} (HEARTSTREAM_TELEMETRY__PORT): Address already in use"
    problems = [line for line in done.stderr.splitlines() if '"level": "info"' not in line]
    assert (done.returncode, problems) == (69, [status_of])
