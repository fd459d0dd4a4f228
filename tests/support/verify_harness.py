"""A stream that a worker has scored, and the commands that verify and replay it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from heartstream.demo.patients import FLAWS, real_patients
from runtime.kafka.range_reader import Reader
from runtime.settings import Kafka, Settings
from schemas.codec import decode_score
from tests.support.stream import Stream
from tests.support.workers import Workers

PATIENTS = real_patients()


class VerifyHarness:
    """A stream that a worker has scored, and the command."""

    def __init__(self, stream: Stream, workers: Workers) -> None:
        self.stream, self.workers = stream, workers

    def scored(self, records: int, **settings: str) -> None:
        """Send patients and a bad record, and wait until a worker has scored them."""
        for number in range(records):
            self.stream.send(json.dumps(PATIENTS[number % len(PATIENTS)]).encode(), b"%d" % number)
        self.stream.send(next(iter(FLAWS.values()))(dict(PATIENTS[0])), b"bad")
        with self.workers.start(self.stream.address, **settings) as worker:
            worker.await_ready()
            self.stream.read_all()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run heartstream with the settings of the workers."""
        servers = {"HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.stream.address}
        return subprocess.run(
            [sys.executable, "-m", "heartstream", *arguments],
            env={**os.environ, **self.workers.settings, **servers},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def verify(self, *arguments: str) -> tuple[int, list[dict[str, object]], dict[str, int]]:
        """Return the exit code, the findings, and the counts."""
        done = self.run("verify", "--json", *arguments)
        counts = [line.split(None, 1) for line in done.stderr.splitlines() if line[:1] == " "]
        assert "Traceback" not in done.stderr
        found = {verdict: int(number.replace(",", "")) for number, verdict in counts}
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], found


def read_scores(address: str, topic: str) -> dict[object, tuple[bytes | None, bytes]]:
    """Read a topic of scores by source; no source occurs twice."""
    found: dict[object, tuple[bytes | None, bytes]] = {}
    with Reader.open(Settings(kafka=Kafka(bootstrap_servers=address))) as reader:
        for message in reader.read(topic, reader.ranges(topic)):
            value = message.value() or b""
            assert found.setdefault(decode_score(value).source, (message.key(), value)) == (message.key(), value)
    return found
