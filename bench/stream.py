"""The stream beside its yardsticks: `python -m bench.stream --help`. What is measured, and how: bench/README.md."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from bench.load import PARTITIONS, fill, remove_topics, tell
from bench.meter import Meter, Output, Reading, committed, read_output
from heartstream.brokers import Kind, create_topics, docker_is_usable, running_broker
from runtime.embedded import free_port
from training.run import TrainingRequest, train

AskedBroker = Kind | Literal["auto"]

_SERVERS: Final = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
_STOP_SECONDS: Final = 60.0
_LOG_LINES: Final = 8
_WARM_UP_RECORDS: Final = 50_000


class Contender(msgspec.Struct, frozen=True):
    """Who is measured: its command, and which share of the input it gets (the slow one gets less)."""

    name: str
    command: tuple[str, ...]
    share: float
    drains: bool = True
    """Whether it is expected to have committed exactly the input's ends when it was stopped at the end."""


CONTENDERS: Final = (
    Contender("bare", ("-m", "bench.bare"), 1.0),
    Contender("heartstream", ("-m", "heartstream", "worker"), 1.0),
    Contender("faust-take", ("-m", "bench.faust_take"), 0.04, drains=False),
)


class Plan(msgspec.Struct, frozen=True):
    """One benchmark: how much, how often, with what."""

    records: int
    runs: int
    broker: AskedBroker
    model: str
    json: str | None


class Stage(msgspec.Struct, frozen=True):
    """What all runs share: a broker, a model, an input topic."""

    address: str
    model_folder: str
    model: str
    topic: str
    folder: Path


class Run(msgspec.Struct, frozen=True):
    """One contender's run, and what was wrong with what it wrote."""

    reading: Reading
    output: Output
    troubles: tuple[str, ...]


Table = dict[str, list[Run]]


def run_contender(contender: Contender, stage: Stage, results: int, ends: dict[int, int]) -> Run:
    """Start a contender on a fresh group and output, measure it, stop it, and check what it wrote."""
    name = f"{stage.topic}-{contender.name}-{uuid.uuid4().hex[:6]}"
    topics = [f"{name}-scores", f"{name}-dlq"]
    create_topics(stage.address, topics, PARTITIONS, {})
    environment = {
        _SERVERS: stage.address,
        "HEARTSTREAM_TOPICS__PATIENTS": stage.topic,
        "HEARTSTREAM_TOPICS__SCORES": topics[0],
        "HEARTSTREAM_TOPICS__DEAD_LETTERS": topics[1],
        "HEARTSTREAM_WORKER__GROUP_ID": name,
        "HEARTSTREAM_MODEL__PATH": stage.model_folder,
        "HEARTSTREAM_MODEL__NAME": stage.model,
        "HEARTSTREAM_TELEMETRY__PORT": str(free_port()),
        # Start quickly even where the environment forbids to keep compiled modules: here they go with the folder.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(stage.folder / "compiled"),
    }
    with _running(contender, environment, stage.folder / f"{name}.log") as process:
        reading = Meter(stage.address, topics[0]).measure(results, process.pid, lambda: _check(process))
    output = read_output(stage.address, topics[0])
    whole = results == sum(ends.values())
    troubles = _troubles(output, ends if whole else None)
    if Meter(stage.address, topics[1]).count():
        troubles.append("dead letters")
    if whole and contender.drains and committed(stage.address, name, stage.topic) != ends:
        troubles.append("commits differ from the input's ends")
    remove_topics(stage.address, topics)
    return Run(reading, output, tuple(troubles))


def _troubles(output: Output, ends: dict[int, int] | None) -> list[str]:
    lost = output.lost(ends)
    counts = {"lost": lost, "duplicated": output.duplicated}
    return [f"{count} {what}" for what, count in counts.items() if count]


@contextmanager
def _running(contender: Contender, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a contender; one that drains is stopped by SIGTERM. Shows its log's end if it failed."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *contender.command],
            env={**os.environ, **environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    except BaseException:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]:
            tell(f"  {contender.name}: {line}")
        raise
    finally:
        process.send_signal(signal.SIGTERM if contender.drains else signal.SIGKILL)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _check(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"the contender ended with code {process.returncode}")


@contextmanager
def new_stage(plan: Plan) -> Iterator[Stage]:
    """Start the broker while a model is trained, and fill the input topic; leaves nothing behind."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heartstream-bench-")))
        model_folder = folder / "model"
        training = stack.enter_context(ThreadPoolExecutor(1)).submit(
            train, TrainingRequest(output=model_folder, model_version="bench")
        )
        kind = _broker_kind(plan.broker)
        address = stack.enter_context(running_broker(kind, os.environ.get(_SERVERS)))
        topic = f"bench-{uuid.uuid4().hex[:6]}"
        size = fill(address, topic, plan.records)
        stack.callback(remove_topics, address, [topic])
        training.result()
        tell(f"broker: {kind}; {plan.records:,} records of {size} bytes on {PARTITIONS} partitions; {plan.model}")
        yield Stage(address, str(model_folder), plan.model, topic, folder)


def _broker_kind(asked: AskedBroker) -> Kind:
    if asked == "docker":
        docker_is_usable()  # does without testcontainers' helper image where that cannot be had
    if asked != "auto":
        return asked
    if _SERVERS in os.environ:
        return "given"
    return "docker" if docker_is_usable() else "embedded"


def measure(plan: Plan, stage: Stage) -> Table:
    """Run all contenders, in alternating order (ABC CBA ...), and compare what they wrote with the first run's."""
    ends = Meter(stage.address, stage.topic).ends()
    tell("warming the broker up (not counted)")
    run_contender(CONTENDERS[0], stage, min(_WARM_UP_RECORDS, plan.records), ends)
    table: Table = {contender.name: [] for contender in CONTENDERS}
    first: Output | None = None
    for number in range(plan.runs):
        for contender in CONTENDERS if number % 2 == 0 else reversed(CONTENDERS):
            run = run_contender(contender, stage, round(plan.records * contender.share), ends)
            first = first or run.output
            differing = run.output.differing(first)
            troubles = (*run.troubles, *([f"{differing} results differ"] if differing else []))
            table[contender.name].append(msgspec.structs.replace(run, troubles=troubles))
            noted = "; ".join(troubles) or "complete, no duplicate, bytes as the others"
            rate, cpu = run.reading.records_per_s, run.reading.cpu_us
            tell(f"run {number + 1}/{plan.runs} {contender.name:12}{rate:>10,.0f} records/s {cpu:8.2f} µs CPU  {noted}")
    return table


def _ratios(runs: Sequence[Run], bare: Sequence[Run]) -> list[float]:
    return [a.reading.records_per_s / b.reading.records_per_s for a, b in zip(runs, bare, strict=True)]


def lines(table: Table) -> list[str]:
    """Return the table as aligned text."""
    header = (
        f"{'':12}{'records/s':>11}{'min..max':>20}{'x bare':>8}{'min..max':>14}{'CPU µs/record':>15}{'results':>10}"
    )
    text = [header + "  lost/duplicated/different"]
    for name, runs in table.items():
        rates = [run.reading.records_per_s for run in runs]
        ratios = _ratios(runs, table["bare"])
        span = f"{min(rates):,.0f}..{max(rates):,.0f}"
        spread = f"{min(ratios):.2f}..{max(ratios):.2f}"
        cpu = statistics.median(run.reading.cpu_us for run in runs)
        troubles = "; ".join(trouble for run in runs for trouble in run.troubles) or "none"
        text.append(
            f"{name:12}{statistics.median(rates):>11,.0f}{span:>20}{statistics.median(ratios):>8.2f}{spread:>14}"
            f"{cpu:>15.2f}{runs[0].reading.results:>10,}  {troubles}"
        )
    return text


def as_json(table: Table) -> bytes:
    """Return the medians as JSON."""
    results = [
        {
            "name": name,
            "records_per_s": round(statistics.median(run.reading.records_per_s for run in runs)),
            "ratio_to_bare": round(statistics.median(_ratios(runs, table["bare"])), 3),
        }
        for name, runs in table.items()
    ]
    return msgspec.json.format(msgspec.json.encode({"results": results})) + b"\n"


def parse(arguments: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer records and runs: under 50 s")
    parser.add_argument("--records", type=int, help="input records (default 600,000; quick 160,000)")
    parser.add_argument("--runs", type=int, help="runs of each contender (default 5; quick 1)")
    parser.add_argument("--broker", choices=["auto", "given", "docker", "embedded"], default="auto")
    parser.add_argument("--model", choices=["logistic_regression", "random_forest"], default="logistic_regression")
    parser.add_argument("--json", metavar="FILE", help="write the medians here")
    asked = parser.parse_args(arguments)
    return Plan(
        records=asked.records or (160_000 if asked.quick else 600_000),
        runs=asked.runs or (1 if asked.quick else 5),
        broker=asked.broker,
        model=asked.model,
        json=asked.json,
    )


def main() -> None:
    """Measure, print, and leave with 1 if a result was lost, duplicated or different."""
    plan = parse(sys.argv[1:])
    started = time.monotonic()
    with new_stage(plan) as stage:
        table = measure(plan, stage)
    print(f"{plan.model}, {plan.records:,} records, {PARTITIONS} partitions, {plan.runs} runs, {os.cpu_count()} cores")
    print("\n".join(lines(table)))
    print("rate: results visible at the broker, from the first to the last, by a monotone clock; start not counted")
    if plan.json:
        Path(plan.json).write_bytes(as_json(table))
    tell(f"took {time.monotonic() - started:.0f} s")
    if any(run.troubles for runs in table.values() for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
