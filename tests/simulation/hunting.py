"""Runs many seeds on both cores: on the product as it is, and with each old bug put back."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from multiprocessing import get_context
from typing import Final

import msgspec

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.patches import patched, simulated
from tests.simulation.schedule import Schedule, draw
from tests.simulation.shrinking import shrunk
from tests.simulation.simulation import Outcome, Simulation

PROCESSES: Final = 2
MOST_SEEDS: Final = 4_000
"""For each bug: one that none of them finds counts as not found."""
_CHUNK: Final = 250
_COLLECT_EVERY: Final = 100


class Violation(msgspec.Struct, frozen=True):
    """A law that the product breaks, and the smallest schedule found that breaks it."""

    seed: int
    broken: str
    schedule: str


class Found(msgspec.Struct, frozen=True):
    """How many seeds, and how many seconds of one core, it took to find a bug; None if it was not found."""

    name: str
    record: str
    found_after: int | None
    broken: str | None
    seconds: float


class Report(msgspec.Struct):
    """What was run, and what became of it."""

    seeds: int
    seconds: float
    violations: list[Violation]
    bugs: list[Found]

    @property
    def is_good(self) -> bool:
        """Whether no law is broken, and every bug is found."""
        return not self.violations and all(bug.found_after is not None for bug in self.bugs)


def run(schedule: Schedule, bug: Bug | None = None, hear: Callable[[object], None] = lambda _event: None) -> Outcome:
    """Run one schedule."""
    with simulated(hear), patched(*bug.changes) if bug is not None else nullcontext():
        return Simulation(schedule).run()


def hunt(seeds: int, bugs: Sequence[Bug], progress: Callable[[str], None]) -> Report:
    """Run so many seeds, and look for each of these bugs."""
    began = time.monotonic()
    report = Report(seeds, 0.0, [], [])
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        report.bugs = sorted(
            _bugs_of(pool, bugs, progress), key=lambda found: [bug.name for bug in BUGS].index(found.name)
        )
        done = 0
        chunks = [range(first, min(first + _CHUNK, seeds)) for first in range(0, seeds, _CHUNK)]
        for future in as_completed([pool.submit(violations_in, chunk) for chunk in chunks]):
            report.violations += future.result()
            done += _CHUNK
            progress(f"{min(done, seeds):,} of {seeds:,} seeds, {len(report.violations)} violations")
    report.violations.sort(key=lambda violation: violation.seed)
    report.seconds = time.monotonic() - began
    return report


def _bugs_of(pool: Executor, bugs: Sequence[Bug], progress: Callable[[str], None]) -> Iterator[Found]:
    for count, future in enumerate(as_completed([pool.submit(seeds_to_find, bug.name) for bug in bugs]), 1):
        progress(f"{count} of {len(bugs)} bugs looked for")
        yield future.result()


def violations_in(seeds: range) -> list[Violation]:
    """Return what the product breaks under these seeds."""
    violations = []
    with simulated(lambda _event: None):
        for schedule, outcome in _outcomes(seeds):
            if outcome.broken is not None:
                small = shrunk(schedule, lambda tried: Simulation(tried).run().broken is not None)
                violations.append(Violation(schedule.seed, outcome.broken, small.told()))
    return violations


def seeds_to_find(name: str) -> Found:
    """Put a bug back and return how many seeds it takes until a law is broken."""
    bug = next(each for each in BUGS if each.name == name)
    began = time.process_time()
    with simulated(lambda _event: None), patched(*bug.changes):
        for schedule, outcome in _outcomes(range(MOST_SEEDS), bug.guarantees):
            if outcome.broken is not None:
                seconds = time.process_time() - began
                return Found(bug.name, bug.record, schedule.seed + 1, outcome.broken, seconds)
    return Found(bug.name, bug.record, None, None, time.process_time() - began)


def _outcomes(seeds: range, guarantees: str = "") -> Iterator[tuple[Schedule, Outcome]]:
    """Run seeds one after the other; those of another guarantee than is asked for would find nothing."""
    gc.disable()
    try:
        for seed in seeds:
            schedule = draw(seed)
            if guarantees in {"", schedule.guarantee}:
                yield schedule, Simulation(schedule).run()
            if seed % _COLLECT_EVERY == 0:
                gc.collect()
    finally:
        gc.enable()
