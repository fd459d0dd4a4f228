"""Workers and gateways as users start them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from heartstream.demo.patients import real_patients
from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from runtime.settings import Topics
from tests.support.stream import Stream

GUARANTEE = "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE"
PROTOCOL = "HEARTSTREAM_WORKER__GROUP_PROTOCOL"
EXACTLY_ONCE = {GUARANTEE: "exactly_once"}
QUICK_EXPIRY = {"HEARTSTREAM_KAFKA__OPTIONS__SESSION_TIMEOUT_MS": "6000"}
"""A killed member's partitions are reassigned after six seconds."""
Starter = Callable[..., AbstractContextManager[Child]]
"""Starts a gateway with the settings in its keyword arguments."""
_PATIENTS = real_patients()


class Workers:
    """Starts workers of one group, as users start them."""

    def __init__(self, model_dir: Path, topics: Topics, log_folder: Path) -> None:
        self.settings = {
            "HEARTSTREAM_MODEL__PATH": str(model_dir),
            "HEARTSTREAM_TOPICS__PATIENTS": topics.patients,
            "HEARTSTREAM_TOPICS__SCORES": topics.scores,
            "HEARTSTREAM_TOPICS__DEAD_LETTERS": topics.dead_letters,
            "HEARTSTREAM_TOPICS__OUTCOMES": topics.outcomes,
            "HEARTSTREAM_TOPICS__SHADOW": topics.shadow,
            "HEARTSTREAM_WORKER__GROUP_ID": f"group-{topics.patients}",
        }
        self.model_dir = model_dir
        self.log_folder = log_folder

    def start(self, address: str, **settings: str) -> AbstractContextManager[Child]:
        """Run a worker in the context."""
        port = str(free_port())
        own = {"HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": address, "HEARTSTREAM_TELEMETRY__PORT": port}
        log = self.log_folder / f"worker-{port}.log"
        return running("worker", {**self.settings, **own, **settings}, f"http://127.0.0.1:{port}", log)

    def logs(self) -> str:
        """Return all log lines of the workers."""
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.log_folder.glob("worker-*.log")))


def patient(number: int) -> tuple[bytes, bytes]:
    """Return key and value of a patient whose id has this number."""
    record = {**_PATIENTS[number % len(_PATIENTS)], "patient_id": f"patient-{number}"}
    return f"patient-{number}".encode(), json.dumps(record).encode()


def send_patients(stream: Stream, first: int, stop: int) -> None:
    for number in range(first, stop):
        key, value = patient(number)
        stream.send(value, key)
    stream.flush()


def crash_three_times(stream: Stream, workers: Workers, settings: Mapping[str, str], every: int) -> None:
    """Kill a worker three times, each after `every` outcomes, and let a fourth score the rest."""
    left = []
    for _ in range(3):
        target = stream.answered + every
        with workers.start(stream.address, **settings) as worker:
            stream.read_until(lambda target=target: stream.answered >= target)
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()
        left.append(len(stream.sent) - stream.answered)
    with workers.start(stream.address, **settings):
        stream.read_all()
    assert all(left), "the workers were killed too late to be in mid-stream"


def reason_of_end(workers: Workers, address: str, **settings: str) -> str:
    """Run a worker until it exits by itself with code 1; return the reason in its last log line."""
    with workers.start(address, **settings) as worker:
        assert worker.process.wait(90) == 1
    lines = [json.loads(line) for line in workers.logs().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines].count("process failed") == 1
    assert workers.logs().splitlines()[-1].startswith("{")
    (failed,) = [line for line in lines if line["event"] == "process failed"]
    return str(failed["exception"])
