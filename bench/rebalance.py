"""How long the flow stops when a worker joins a group, and when one leaves it."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.contenders import Contender
from bench.fleet import Fleet, new_fleet
from bench.load import remove_topics
from bench.meter import POLL_SECONDS, Meter, Sample
from bench.output import read_output
from bench.stage import Stage

_SLACK_SECONDS: Final = 10.0
"""For starting, and for waiting until the newcomer is ready."""


class Gaps(msgspec.Struct, frozen=True):
    """The longest times without a new result in one phase, in milliseconds: in all, and of any one partition."""

    phase: str
    flow_ms: float
    partition_ms: float


class Rebalance(msgspec.Struct, frozen=True):
    """The gaps before, when a worker joins, and when it leaves; and what became of the records."""

    rate: float
    gaps: list[Gaps]
    lost: int
    duplicated: int


def longest_gap(samples: Sequence[Sample], counts: Sequence[int]) -> float:
    """Return the longest time, in milliseconds, in which a count did not grow."""
    longest, since = 0.0, samples[0].at
    for sample, before, now in zip(samples[1:], counts, counts[1:], strict=False):
        longest = max(longest, sample.at - since)
        if now > before:
            since = sample.at
    return 1000 * longest


def gaps(phase: str, samples: Sequence[Sample]) -> Gaps:
    """Find the longest gaps of a phase."""
    partitions = range(len(samples[0].ends))
    return Gaps(
        phase,
        flow_ms=round(longest_gap(samples, [sum(sample.ends) for sample in samples]), 1),
        partition_ms=round(max(longest_gap(samples, [s.ends[p] for s in samples]) for p in partitions), 1),
    )


def measure(contender: Contender, stage: Stage, rate: float, phase_seconds: float) -> Rebalance:
    """Let one worker score a steady flow; a second joins after a phase, and leaves after another.

    Raises RuntimeError or TimeoutError if a worker fails.
    """
    mine = stage.filled(f"{stage.topic}-{uuid.uuid4().hex[:6]}", 0, stage.partitions)
    try:
        with new_fleet(contender, mine, 1) as fleet:
            fleet.await_ready()
            found = _phases(fleet, rate, phase_seconds)
            ends = Meter(mine.address, mine.topic, mine.partitions).ends()
            fleet.watch(sum(ends))
            output = read_output(mine.address, fleet.names.scores, ends)
        return Rebalance(rate, found, output.lost(whole=True), output.duplicated)
    finally:
        remove_topics(mine.address, [mine.topic])


def _phases(fleet: Fleet, rate: float, phase_seconds: float) -> list[Gaps]:
    """Run the phases; the first seconds, in which connections are made, do not count."""
    stage = fleet.stage
    count = round(rate * (5 * phase_seconds + _SLACK_SECONDS))
    options = ("--servers", stage.address, "--topic", stage.topic, "--records", str(count), "--rate", str(rate))
    pacer = subprocess.Popen([sys.executable, "-m", "bench.pacer", *options, str(stage.folder / "times")])
    try:
        while sum(fleet.sample().ends) < rate:
            time.sleep(POLL_SECONDS)
            fleet.check()
        steady = gaps("steady", _samples(fleet, phase_seconds))
        newcomer = fleet.add()
        joining = gaps("a worker joins", _samples(fleet, 2 * phase_seconds))
        fleet.await_ready()
        leaving = gaps("a worker leaves", _samples(fleet, 2 * phase_seconds, newcomer))
    finally:
        pacer.wait()
    return [steady, joining, leaving]


def _samples(fleet: Fleet, seconds: float, leaver: int | None = None) -> list[Sample]:
    """Sample for a while; a worker is asked to leave at the beginning."""
    if leaver is not None:
        fleet.ask_to_leave(leaver)
    deadline = time.monotonic() + seconds
    samples = [fleet.sample()]
    while time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        samples.append(fleet.sample())
    return samples
