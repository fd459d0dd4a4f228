"""The simulation: `python -m tests.simulation --help`. It is described in docs/faults.md."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from heartstream.terminal.exit_codes import FAILED
from tests.simulation.bugs import BUGS, Bug
from tests.simulation.hunting import Report, hunt, run
from tests.simulation.schedule import draw
from tests.simulation.shrinking import shrunk
from tests.simulation.threads import World

_HASHES: Final = "PYTHONHASHSEED"
_LINE_SECONDS: Final = 30.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the simulation with the command's options; raises SystemExit."""
    asked = _parser().parse_args(arguments)
    if os.environ.get(_HASHES) != "0":
        # The iteration order of sets must be the same for a seed to reproduce a run.
        os.execve(  # noqa: S606  # this same command again
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *(sys.argv[1:] if arguments is None else arguments)],
            {**os.environ, _HASHES: "0"},
        )
    bugs = [bug for bug in BUGS if not asked.bug or bug.name in asked.bug]
    if asked.bug and len(bugs) != len(asked.bug):
        _parser().error("no such bug; there are: " + ", ".join(bug.name for bug in BUGS))
    if asked.seed is not None:
        raise SystemExit(_replay(asked.seed, bugs[0] if asked.bug else None))
    report = hunt(range(asked.first, asked.first + asked.seeds), bugs, _progress())
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    sys.stdout.write("\n".join(_lines(report)) + "\n")
    if asked.json:
        asked.json.write_bytes(_as_json(report))
    raise SystemExit(0 if report.is_good else FAILED)


def _replay(seed: int, bug: Bug | None) -> int:
    """Run one seed and print its events; then the smallest schedule that still violates a law."""
    schedule = draw(seed)
    sys.stdout.write(schedule.describe() + "\n")

    def hear(event: object) -> None:
        scheduler = World.scheduler
        name = scheduler.current.process.name if scheduler.current is not None else "-"
        sys.stdout.write(f"  {scheduler.now - scheduler.begin:7.3f} s  {name}: {event}\n")

    outcome = run(schedule, bug, hear)
    if outcome.broken is None:
        sys.stdout.write(f"every law holds after {outcome.seconds:.1f} s and {outcome.steps:,} steps\n")
        return 0
    small = shrunk(schedule, lambda tried: run(tried, bug).broken is not None)
    sys.stdout.write(f"{outcome.broken}\n\nThe smallest schedule found that breaks a law:\n{small.describe()}\n")
    sys.stdout.write(f"{run(small, bug).broken}\n")
    return FAILED


def _lines(report: Report) -> list[str]:
    rows = [
        f"| {bug.name} | {bug.record} | {_seeds(bug.found_after)} | {bug.seconds:.1f} | {_law(bug.broken)} |"
        for bug in report.bugs
    ]
    head = ["| reintroduced bug | found in | seeds | s | broken law |", "|---|---|---|---|---|"]
    tail = f"{report.seeds:,} seeds, {len(report.violations)} violations, {report.seconds:.0f} s on two cores"
    found = [f"\n{each.broken}\n{each.schedule}" for each in report.violations]
    return [*(head + rows if rows else []), "", tail, *found]


def _seeds(found_after: int | None) -> str:
    return "not found" if found_after is None else f"{found_after:,}"


def _law(broken: str | None) -> str:
    return (broken or "").partition(":")[0]


def _as_json(report: Report) -> bytes:
    bugs = [{"name": bug.name, "found_after": bug.found_after} for bug in report.bugs]
    content = {"seeds": report.seeds, "violations": len(report.violations), "bugs": bugs}
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


def _progress() -> Callable[[str], None]:
    """Return a function that shows progress: in place on a terminal, and otherwise a line every half minute."""
    shown = time.monotonic()

    def show(line: str) -> None:
        nonlocal shown
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        elif time.monotonic() - shown > _LINE_SECONDS:
            shown = time.monotonic()
            sys.stderr.write(f"{line}\n")

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Run the worker's transport against a simulated Kafka, under faults that a seed decides.",
        epilog="Example: python -m tests.simulation --seeds 1000 --json simulation.json. "
        f"Exit codes: 0 no law is broken and every bug that was put back is found; {FAILED} otherwise.",
    )
    parser.add_argument("--seeds", type=int, default=1_000, metavar="N", help="how many seeds to run (1000)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first of them (0); bugs begin with 0")
    parser.add_argument("--seed", type=int, metavar="S", help="run one seed, and print its schedule and events")
    parser.add_argument("--bug", action="append", metavar="NAME", help="put this bug back; may be given several times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to a file too")
    return parser


if __name__ == "__main__":
    main()
