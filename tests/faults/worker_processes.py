"""The workers of one run as processes: started, killed, frozen, stopped, and restarted when they exit."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from heartstream.demo.processes import Child
from runtime import metrics
from runtime.ports import free_port
from schemas.errors import DependencyError

_STOP_SECONDS: Final = 70.0
_MOST_EXITS: Final = 15
_ANSWER_SECONDS: Final = 1.0
_TAIL_LINES: Final = 12
_LINE_CHARS: Final = 300
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "heartstream": ("-m", "heartstream", "worker"),
    "faust": ("-m", "tests.faults.stock_faust"),
}


class WorkerProcess:
    """A worker process, and the settings for its restart."""

    def __init__(self, child: Child, settings: Mapping[str, str]) -> None:
        self.child, self.settings = child, settings

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        return self.child.process


class WorkerProcesses:
    """Starts workers of one group with common settings, and restarts those that exit, up to a limit.

    `exits` has the codes of workers that exited by themselves, `bad_stops` those of workers that did not exit with 0 on
    SIGTERM; `slowest_stop` is the longest time that this took, in seconds.
    """

    def __init__(self, command: str, settings: Mapping[str, str], folder: Path) -> None:
        self.members: list[WorkerProcess] = []
        self.exits: list[int] = []
        self.bad_stops: list[int] = []
        self.slowest_stop = 0.0
        self._command = command
        self.settings = settings
        self._folder = folder
        self._started = 0

    def start(self, **settings: str) -> WorkerProcess:
        """Start a worker; return at once."""
        port = free_port()
        self._started += 1
        log = self._folder / f"worker-{self._started:02}.log"
        own = {**self.settings, "HEARTSTREAM_TELEMETRY__PORT": str(port), **settings}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *COMMANDS[self._command]],
                env={**os.environ, **own},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        member = WorkerProcess(Child("worker", process, f"http://127.0.0.1:{port}", log), settings)
        self.members.append(member)
        return member

    def await_ready(self, member: WorkerProcess) -> None:
        """Wait until a worker has joined the group; raises DependencyError if it exits instead."""
        if self._command == "heartstream":
            member.child.await_ready()

    def kill(self, member: WorkerProcess) -> None:
        """Kill a worker (SIGKILL)."""
        self.members.remove(member)
        member.process.kill()
        member.process.wait()

    def freeze(self, member: WorkerProcess) -> None:
        """Suspend a worker (SIGSTOP)."""
        member.process.send_signal(signal.SIGSTOP)

    def thaw(self, member: WorkerProcess) -> None:
        """Resume a worker (SIGCONT)."""
        member.process.send_signal(signal.SIGCONT)

    def stop(self, member: WorkerProcess) -> None:
        """Stop a worker that is ready (SIGTERM), and record its exit code and time."""
        self.members.remove(member)
        started = time.monotonic()
        member.process.terminate()
        try:
            code = member.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            member.process.kill()
            code = member.process.wait()
        self.slowest_stop = max(self.slowest_stop, time.monotonic() - started)
        if code != 0:
            self.bad_stops.append(code)

    def stop_all(self) -> None:
        """Stop every worker, one after the other; one that exits before it is ready counts as a bad stop."""
        for member in list(self.members):
            with contextlib.suppress(DependencyError):
                self.await_ready(member)
            self.stop(member)

    def end(self) -> None:
        """Kill all remaining processes."""
        for member in self.members:
            member.process.kill()
            member.process.wait()

    def restart_ended(self) -> None:
        """Restart workers that have exited by themselves."""
        for member in list(self.members):
            code = member.process.poll()
            if code is None:
                continue
            self.members.remove(member)
            self.exits.append(code)
            if not self.gave_up:
                self.start(**member.settings)

    @property
    def gave_up(self) -> bool:
        """Whether workers have exited too often."""
        return len(self.exits) > _MOST_EXITS

    def in_flight(self) -> int:
        """Return the number of results in flight by the workers' metrics; a worker without a response counts as 0."""
        return self.shown("heartstream_in_flight_records")

    def shown(self, name: str) -> int:
        """Return the sum of all workers' samples of a metric."""
        return sum(_shown(member.child.url, name) for member in list(self.members))

    def losses(self) -> list[float]:
        """Return when (Unix time) workers lost partitions, or gave them up with unfinished records."""
        return [at for line in self.logs().splitlines() if (at := _loss(line)) is not None]

    def logs(self) -> str:
        """Return all log lines of the workers."""
        return "".join(path.read_text("utf-8", "replace") for path in self.files())

    def tails(self) -> list[str]:
        """Return the last lines of the last workers' logs."""
        lines = []
        for path in self.files()[-2:]:
            text = path.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:]
            lines += [f"{path.name}: {line[:_LINE_CHARS]}" for line in text]
        return lines

    def files(self) -> list[Path]:
        """Return the workers' log files, one per process."""
        return sorted(self._folder.glob("worker-*.log"))


def _shown(url: str, name: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=_ANSWER_SECONDS) as response:
            samples = metrics.read(response.read().decode())
    except (OSError, http.client.HTTPException):
        return 0
    return int(sum(sample.value for sample in samples if sample.name == name))


def _loss(line: str) -> float | None:
    """Return when a worker lost partitions, if this log line says so."""
    if '"partitions lost"' not in line and '"partitions revoked"' not in line:
        return None
    fields = json.loads(line)
    return None if fields.get("drained") else datetime.fromisoformat(fields["timestamp"]).timestamp()
