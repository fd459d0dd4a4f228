"""Runs many seeds on both cores: on the product as it is, and with each old bug reintroduced."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Final

import msgspec

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.patches import patched, simulated
from tests.simulation.processes import PROCESSES, results
from tests.simulation.schedule import Schedule, draw
from tests.simulation.shrinking import shrunk
from tests.simulation.simulation import Outcome, Simulation

MOST_SEEDS: Final = 4_000
"""Per bug: a bug that none of them finds counts as not found."""
_CHUNK: Final = 250
_COLLECT_EVERY: Final = 500


class Violation(msgspec.Struct, frozen=True):
    """A law that the product violates, and the smallest schedule found that violates it."""

    seed: int
    broken: str
    schedule: str


class Found(msgspec.Struct, frozen=True):
    """The number of seeds, and of seconds on one core, that it took to find a bug; None if it was not found."""

    name: str
    record: str
    found_after: int | None
    broken: str | None
    seconds: float


class Report(msgspec.Struct):
    """The results of a hunt."""

    seeds: int
    seconds: float
    violations: list[Violation]
    bugs: list[Found]

    @property
    def is_good(self) -> bool:
        """Whether no law is violated, and every bug is found."""
        return not self.violations and all(bug.found_after is not None for bug in self.bugs)


def run(schedule: Schedule, bug: Bug | None = None, hear: Callable[[object], None] = lambda _event: None) -> Outcome:
    """Run one schedule."""
    with simulated(hear), patched(*bug.changes) if bug is not None else nullcontext():
        return Simulation(schedule).run()


def hunt(seeds: range, bugs: Sequence[Bug], progress: Callable[[str], None]) -> Report:
    """Run these seeds, and search for each of these bugs."""
    began = time.monotonic()
    report = Report(len(seeds), 0.0, [], [])
    for found in results(seeds_to_find, [bug.name for bug in bugs]):
        report.bugs.append(found)
        progress(f"{len(report.bugs)} of {len(bugs)} bugs looked for")
    size = max(1, min(_CHUNK, -(-len(seeds) // PROCESSES)))
    chunks = [seeds[place : place + size] for place in range(0, len(seeds), size)]
    done = 0
    for count, violations in results(violations_in, chunks):
        report.violations += violations
        done += count
        progress(f"{done:,} of {len(seeds):,} seeds, {len(report.violations)} violations")
    names = [bug.name for bug in BUGS]
    report.bugs.sort(key=lambda found: names.index(found.name))
    report.violations.sort(key=lambda violation: violation.seed)
    report.seconds = time.monotonic() - began
    return report


def violations_in(seeds: range) -> tuple[int, list[Violation]]:
    """Return the number of seeds that were run, and the violations of the product under them."""
    violations = []
    with simulated(lambda _event: None):
        for schedule, outcome in _outcomes(seeds):
            if outcome.broken is not None:
                small = shrunk(schedule, lambda tried: Simulation(tried).run().broken is not None)
                violations.append(Violation(schedule.seed, outcome.broken, small.describe()))
                gc.collect()
    return len(seeds), violations


def seeds_to_find(name: str) -> Found:
    """Reintroduce a bug and return the number of seeds until a law is violated."""
    bug = next(each for each in BUGS if each.name == name)
    began = time.process_time()
    with simulated(lambda _event: None), patched(*bug.changes):
        for schedule, outcome in _outcomes(range(MOST_SEEDS), bug.guarantees):
            if outcome.broken is not None:
                seconds = time.process_time() - began
                return Found(bug.name, bug.record, schedule.seed + 1, outcome.broken, seconds)
    return Found(bug.name, bug.record, None, None, time.process_time() - began)


def _outcomes(seeds: range, guarantees: str = "") -> Iterator[tuple[Schedule, Outcome]]:
    """Run seeds one after the other, skipping those of a guarantee other than the requested one."""
    for seed in seeds:
        schedule = draw(seed)
        if guarantees in {"", schedule.guarantee}:
            yield schedule, Simulation(schedule).run()
        if (seed - seeds.start) % _COLLECT_EVERY == _COLLECT_EVERY - 1:
            gc.collect()
