"""Requests a second over HTTP, of the gateway beside a handler that returns a constant and the usual ways to serve.

All servers get the same patients, one record a request, from the same client, one after another in an order that
alternates from round to round. What is measured, and how: bench/README.md.

example: python -m bench.gateway --only heartstream,mlserver --rounds 3 --json gateway.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from bench.cost import cpu_seconds, peak_mib
from bench.http_load import Measured, Order
from bench.load import tell
from bench.report import Spread, machine
from bench.servers import SERVERS, Record, Server, chosen, variables, write_pipeline, write_usual
from heartstream.demo.patients import real_patients
from heartstream.terminal.exit_codes import errors_to_exit_codes
from runtime.ports import free_port
from schemas.tables.builtin import UCI_HEART
from scoring.scorer import Scorer
from training.pipeline import TrainingRequest, train

_START_SECONDS: Final = 90.0
_TOLERANCE: Final = 2e-6
_USUAL_TOLERANCE: Final = 0.35
"""Another regression of the same patients."""
_CHECKED: Final = 20
_CONNECTIONS: Final = 32
YARDSTICK: Final = SERVERS[0].name
GOALS: Final = {YARDSTICK: 0.6, "fastapi-sklearn": 50.0, "mlserver": 5.0}
"""How many times as many requests as these the gateway is to answer."""


class Round(msgspec.Struct, frozen=True):
    """One server in one round, at many connections and at one; processor time of a request at many."""

    many: Measured
    one: Measured
    cpu_us: float
    peak_mib: float

    @property
    def requests_per_s(self) -> float:
        """Answers a second at many connections."""
        return self.many.answers / self.many.seconds


class Result(msgspec.Struct, frozen=True):
    """One server's medians over all rounds."""

    name: str
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    one_connection_p50_ms: float
    one_connection_p99_ms: float
    cpu_us: float
    peak_mib: float
    bad: int


@contextmanager
def serving(server: Server, model: Path, folder: Path) -> Iterator[tuple[int, int]]:
    """Run a server, and yield its port and process id when it is ready. Raises RuntimeError with its log's end."""
    port = free_port()
    home = Path(tempfile.mkdtemp(dir=folder))
    pipeline = folder / ("usual.joblib" if server.is_usual else "model.joblib")
    if server.prepare is not None:
        server.prepare(pipeline, home, port)
    log, command = home / "log", server.command(port)
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables(server, model, pipeline, home, port), "PATH": path},
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_ready(process, f"http://127.0.0.1:{port}{server.health}", log)
        yield port, process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # a loopback URL
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("it did not become ready: " + log.read_text(encoding="utf-8", errors="replace")[-2000:])


def check(server: Server, port: int, patients: Sequence[Record], risks: Sequence[float]) -> None:
    """Raise RuntimeError unless a server answers with our risks."""
    for patient, risk in zip(patients[:_CHECKED], risks, strict=False):
        request = urllib.request.Request(  # a loopback URL
            f"http://127.0.0.1:{port}{server.path}",
            json.dumps(server.ask(patient)).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            found = server.risk(json.load(response))
        if server.name != YARDSTICK and abs(found - risk) > (_USUAL_TOLERANCE if server.is_usual else _TOLERANCE):
            raise RuntimeError(f"it answers with other risks ({found} for {risk})")


def load(order: Order) -> Measured:
    """Let a client of its own carry an order out."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.http_load"], input=msgspec.json.encode(order), stdout=subprocess.PIPE, check=True
    )
    found: Measured = msgspec.json.decode(done.stdout, type=Measured)
    return found


def measure(server: Server, port: int, pid: int, patients: Sequence[Record], seconds: float) -> Round:
    """Measure a running server."""
    bodies = tuple(json.dumps(server.ask(patient)) for patient in patients)
    order = Order(port, server.path, "application/json", bodies, _CONNECTIONS, seconds, seconds / 5)
    before = cpu_seconds(pid)
    many = load(order)
    # What it used while the client started and ended is idle time: the whole is shared out over all answers.
    spent = (cpu_seconds(pid) - before) / (many.answers * 1.2)
    one = load(msgspec.structs.replace(order, connections=1, seconds=seconds / 2))
    return Round(many, one, spent * 1e6, peak_mib(pid))


def result(name: str, rounds: Sequence[Round]) -> Result:
    """Sum one server up."""

    def median(of: Any) -> float:
        return round(float(statistics.median(of(each) for each in rounds)), 3)

    return Result(
        name,
        round(median(lambda each: each.requests_per_s)),
        median(lambda each: each.many.p50_ms),
        median(lambda each: each.many.p99_ms),
        median(lambda each: each.one.p50_ms),
        median(lambda each: each.one.p99_ms),
        median(lambda each: each.cpu_us),
        max(each.peak_mib for each in rounds),
        sum(each.many.bad + each.one.bad for each in rounds),
    )


def lines(table: dict[str, list[Round]]) -> list[str]:
    """Return the table as aligned text, and how the gateway stands beside the others."""
    header = (
        f"{'':16}{'requests/s':>12}{'min..max':>17}{'p50 ms':>9}{'p99 ms':>9}{'alone p50':>11}{'p99 ms':>9}"
        f"{'CPU us':>9}{'peak MiB':>10}{'bad':>5}"
    )
    text = [header]
    for name, rounds in table.items():
        found, rate = result(name, rounds), Spread.of([each.requests_per_s for each in rounds])
        span = f"{rate.low:,.0f}..{rate.high:,.0f}"
        text.append(
            f"{name:16}{found.requests_per_s:>12,.0f}{span:>17}{found.p50_ms:>9.2f}{found.p99_ms:>9.2f}"
            f"{found.one_connection_p50_ms:>11.2f}{found.one_connection_p99_ms:>9.2f}{found.cpu_us:>9.0f}"
            f"{found.peak_mib:>10.0f}{found.bad:>5}"
        )
    for name, goal in GOALS.items():
        if name in table and "heartstream" in table:
            pairs = zip(table["heartstream"], table[name], strict=True)
            times = Spread.of([mine.requests_per_s / theirs.requests_per_s for mine, theirs in pairs])
            text.append(f"heartstream / {name}: {times.median:.2f} ({times.low:.2f}..{times.high:.2f}); goal {goal:g}")
    return text


def _risks(model: Path, patients: Sequence[Record]) -> list[float]:
    matrix = np.array([[patient[name] for name in UCI_HEART.names] for patient in patients], dtype=np.float64)
    risks: list[float] = Scorer.from_directory(model, "logistic_regression").risks(matrix).tolist()
    return risks


def _arguments() -> argparse.Namespace:
    purpose, _, example = (__doc__ or "").rpartition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m bench.gateway",
        description=purpose,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(server.name for server in SERVERS)
    parser.add_argument(
        "--quick", action="store_true", help="constant, heartstream and fastapi-sklearn once: under 50 s"
    )
    parser.add_argument("--only", metavar="NAMES", help=f"some of, with commas: {names}")
    parser.add_argument("--seconds", type=float, help="counted time of a measurement (default 8; quick 3)")
    parser.add_argument("--rounds", type=int, help="rounds (default 3; quick 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the medians here")
    return parser.parse_args()


@errors_to_exit_codes()
def main() -> None:
    """Measure, and print the table."""
    asked = _arguments()
    try:
        servers = chosen(asked.only, quick=asked.quick)
    except ValueError as error:
        sys.exit(f"bench.gateway: {error}")
    seconds, rounds = asked.seconds or (3 if asked.quick else 8), asked.rounds or (1 if asked.quick else 3)
    table: dict[str, list[Round]] = {server.name: [] for server in servers}
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as scratch:
        folder = Path(scratch)
        train(TrainingRequest(output=folder / "model", model_version="bench", quick=True))
        write_pipeline(folder / "model", folder / "model.joblib")
        write_usual(folder / "usual.joblib")
        # Not everybody takes null for "not measured".
        patients = [each for each in real_patients() if None not in each.values()]
        risks = _risks(folder / "model", patients)
        for number in range(rounds):
            for server in servers if number % 2 == 0 else servers[::-1]:
                with serving(server, folder / "model", folder) as (port, pid):
                    check(server, port, patients, risks)
                    found = measure(server, port, pid, patients, seconds)
                table[server.name].append(found)
                tell(
                    f"round {number + 1}/{rounds} {server.name:16}{found.requests_per_s:>10,.0f} requests/s  "
                    f"p50 {found.many.p50_ms:.2f} ms, p99 {found.many.p99_ms:.2f} ms"
                )
    sys.stdout.write("\n".join(lines(table)) + "\n")
    if asked.json is not None:
        document = {"results": [result(*entry) for entry in table.items()], "machine": machine(), "seconds": seconds}
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2))


if __name__ == "__main__":
    main()
