"""What a worker costs that has nothing to do: how soon it is ready, its memory, and its processor time.

The worker runs in an environment of its own with what it has in production (requirements/serve.lock) and no more.
The broker answers already when the worker's process is started. Ready is what `/health/ready` says: the model is
loaded and proved, and the worker is a member of its group.

example: python -m bench.idle --rounds 5 --seconds 30 --json idle.json
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import CONTENDERS, Contender
from bench.contest import Names, check, environment, running
from bench.cost import cpu_seconds, peak_mib, resident_mib
from bench.environments import SERVE
from bench.load import tell
from bench.report import Spread, machine
from bench.stage import Stage, add_arguments, new_stage
from heartstream.terminal.exit_codes import errors_to_exit_codes
from runtime.ports import free_port

_POLL_SECONDS: Final = 0.01
_READY_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 3.0
GOALS: Final = {"ready_seconds": 2.0, "resident_mib": 150.0, "cpu_percent": 1.0}


class Idling(msgspec.Struct, frozen=True):
    """One worker's costs."""

    ready_seconds: float
    resident_mib: float
    peak_mib: float
    cpu_percent: float


def is_ready(port: int) -> bool:
    """Ask a worker whether it is ready; one that does not listen yet is not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def await_ready(port: int, check_process: Callable[[], None]) -> None:
    """Wait until a worker is ready. Raises TimeoutError if it is not in a minute."""
    deadline = time.monotonic() + _READY_SECONDS
    while not is_ready(port):
        check_process()
        if time.monotonic() > deadline:
            raise TimeoutError("the worker is not ready in a minute")
        time.sleep(_POLL_SECONDS)


def measure(contender: Contender, stage: Stage, seconds: float) -> Idling:
    """Start a worker on an empty topic, and let it idle for `seconds` once it has settled."""
    names, port = Names.fresh(stage, contender), free_port()
    variables = environment(contender, stage, names, port)
    try:
        started = time.monotonic()
        with running(contender, variables, stage.folder / f"{names.group}.log") as process:
            await_ready(port, lambda: check(process))
            ready = time.monotonic() - started
            time.sleep(_SETTLE_SECONDS)
            began, cpu_began = time.monotonic(), cpu_seconds(process.pid)
            time.sleep(seconds)
            cpu = (cpu_seconds(process.pid) - cpu_began) / (time.monotonic() - began)
            check(process)
            return Idling(ready, resident_mib(process.pid), peak_mib(process.pid), 100 * cpu)
    finally:
        names.remove(stage)


def lines(rounds: Sequence[Idling]) -> list[str]:
    """Return the table as aligned text."""
    text = [f"{'':16}{'median':>9}{'min..max':>18}{'goal':>8}"]
    for field in msgspec.structs.fields(Idling):
        found = Spread.of([getattr(each, field.name) for each in rounds])
        goal = f"{GOALS[field.name]:g}" if field.name in GOALS else ""
        span = f"{found.low:.2f}..{found.high:.2f}"
        text.append(f"{field.name:16}{found.median:>9.2f}{span:>18}{goal:>8}".rstrip())
    return text


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.idle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of 5 s")
    parser.add_argument("--rounds", type=int, help="rounds (default 5; quick 1)")
    parser.add_argument("--seconds", type=float, help="how long each idles (default 30; quick 5)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    parser.add_argument(
        "--only", choices=["heartstream", "heartstream-eos"], default="heartstream", help="which guarantee"
    )
    add_arguments(parser)
    return parser.parse_args(arguments)


@errors_to_exit_codes()
def main() -> None:
    """Measure and print. The first start compiles the modules, and is not counted."""
    asked = parse(sys.argv[1:])
    count, seconds = asked.rounds or (1 if asked.quick else 5), asked.seconds or (5.0 if asked.quick else 30.0)
    contender = next(each for each in CONTENDERS if each.name == asked.only)
    contender = msgspec.structs.replace(contender, environment=SERVE)
    with new_stage(asked.broker, asked.model, 0) as stage:
        tell("starting once (not counted)")
        measure(contender, stage, 0.0)
        rounds = []
        for number in range(count):
            rounds.append(measure(contender, stage, seconds))
            tell(f"round {number + 1}/{count} ready in {rounds[-1].ready_seconds:.2f} s")
    print(f"{asked.only}, {asked.model}, {count} rounds of {seconds:.0f} s, {os.cpu_count()} cores")
    print("\n".join(lines(rounds)))
    if asked.json:
        medians = {
            field.name: round(statistics.median(getattr(each, field.name) for each in rounds), 3)
            for field in msgspec.structs.fields(Idling)
        }
        document = {"name": asked.only, "model": asked.model, **medians, "rounds": rounds, "machine": machine()}
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")


if __name__ == "__main__":
    main()
