"""How the worker scales: over processes, over records, and through a rebalance.

processes: 1, 2 and 4 workers of one group on a topic with 16 partitions. The records lie there already, in a
transaction that is committed when the group has shared the partitions out, so that all begin at the same moment.
growth: one worker on ever more records: does a record's cost, or the memory, grow?
rebalance: a steady flow; a second worker joins, and leaves again: for how long are there no results?

example: python -m bench.scale --parts growth --records 10000000 --json scale.json
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench import rebalance
from bench.contenders import CONTENDERS, Contender
from bench.fleet import new_fleet
from bench.load import HeldInput, remove_topics, tell
from bench.meter import Reading, uncommitted_ends
from bench.output import read_output
from bench.rebalance import Rebalance
from bench.report import machine
from bench.stage import AskedBroker, Stage, add_arguments, new_stage
from heartstream.terminal.exit_codes import errors_to_exit_codes

PARTS: Final = ("processes", "growth", "rebalance")
PARTITIONS: Final = 16
_SMALLEST: Final = 100_000


class Plan(msgspec.Struct, frozen=True):
    """What to measure, on how much."""

    parts: tuple[str, ...]
    workers: tuple[int, ...]
    records: int
    largest: int
    rate: float
    phase_seconds: float
    contender: Contender
    broker: AskedBroker
    model: str
    json: Path | None


class Run(msgspec.Struct, frozen=True):
    """Some workers on some records: the rate, the cost, the memory, what was lost or doubled.

    `begin_mib` is the memory after the first tenth of the results, `end_mib` at the end, of all workers together.
    """

    workers: int
    records: int
    records_per_s: float
    cpu_us: float
    begin_mib: float
    end_mib: float
    peak_mib: float
    lost: int
    duplicated: int


class Found(msgspec.Struct):
    """All results."""

    processes: list[Run] = []
    growth: list[Run] = []
    rebalance: Rebalance | None = None


def measure(contender: Contender, stage: Stage, workers: int, release: Callable[[], None] = lambda: None) -> Run:
    """Let workers score all of a topic, which is released when they share it fairly.

    Raises RuntimeError or TimeoutError if one fails.
    """
    records = sum(stage.ends)
    with new_fleet(contender, stage, workers) as fleet:
        fleet.await_balanced()
        release()
        samples = fleet.watch(records)
        memory = fleet.memory
        output = read_output(stage.address, fleet.names.scores, stage.ends)
    reading = Reading.of(samples, output, records)
    tenth = next(sample.at for sample in samples if sum(sample.ends) >= records / 10)
    begin = next((each.mib for each in memory if each.at >= tenth), memory[-1].mib)
    return Run(
        *(workers, records, reading.records_per_s, reading.cpu_us),
        *(begin, memory[-1].mib, max(each.mib for each in memory)),
        lost=output.lost(whole=True),
        duplicated=output.duplicated,
    )


def measure_processes(plan: Plan, stage: Stage) -> list[Run]:
    """Run ever more workers, each time on a topic of its own."""
    runs = []
    for workers in plan.workers:
        topic = f"{stage.topic}-{uuid.uuid4().hex[:6]}"
        held = HeldInput(stage.address, topic, plan.records, PARTITIONS)
        runs.append(measure(plan.contender, _without_markers(stage, topic), workers, held.release))
        remove_topics(stage.address, [topic])
        tell(f"{workers} workers: {runs[-1].records_per_s:,.0f} records/s")
    return runs


def _without_markers(stage: Stage, topic: str) -> Stage:
    """Return a stage with an input that is still held: its ends are known only to a reader of uncommitted records."""
    ends = uncommitted_ends(stage.address, topic, PARTITIONS)
    return msgspec.structs.replace(stage, topic=topic, ends=ends)


def measure_growth(plan: Plan, stage: Stage) -> list[Run]:
    """Run one worker on ever larger topics."""
    runs, records = [], _SMALLEST
    while records <= plan.largest:
        topic = f"{stage.topic}-{uuid.uuid4().hex[:6]}"
        held = HeldInput(stage.address, topic, records, PARTITIONS)
        runs.append(measure(plan.contender, _without_markers(stage, topic), 1, held.release))
        remove_topics(stage.address, [topic])
        tell(f"{records:,} records: {runs[-1].records_per_s:,.0f} records/s")
        records *= 10
    return runs


def run_lines(runs: Sequence[Run]) -> list[str]:
    """Return runs as an aligned table."""
    header = f"{'workers':>7}{'records':>12}{'records/s':>11}{'per worker':>12}{'CPU s/million':>15}{'MiB begin':>11}"
    text = [f"{header}{'end':>7}{'peak':>7}  lost/duplicated"]
    text += [
        f"{run.workers:>7}{run.records:>12,}{run.records_per_s:>11,.0f}{run.records_per_s / run.workers:>12,.0f}"
        f"{run.cpu_us:>15.2f}{run.begin_mib:>11.0f}{run.end_mib:>7.0f}{run.peak_mib:>7.0f}"
        f"  {run.lost}/{run.duplicated}"
        for run in runs
    ]
    return text


def rebalance_lines(found: Rebalance) -> list[str]:
    """Return the gaps as an aligned table."""
    text = [f"longest time without a new result, at {found.rate:,.0f} records/s; {found.lost}/{found.duplicated} "]
    text[0] += "lost/duplicated"
    text += [f"{'':20}{'in all, ms':>12}{'of a partition, ms':>20}"]
    return text + [f"{gap.phase:20}{gap.flow_ms:>12.0f}{gap.partition_ms:>20.0f}" for gap in found.gaps]


def parse(arguments: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1 and 2 workers, few records")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"with commas (default {','.join(PARTS)})")
    parser.add_argument("--records", type=int, help="growth goes by tens up to here (default 1,000,000; quick 100,000)")
    parser.add_argument("--rate", type=float, default=5_000.0, help="of the rebalance's flow (default 5,000)")
    parser.add_argument("--only", choices=["heartstream", "heartstream-eos"], default="heartstream")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    parts = tuple(asked.parts.split(","))
    if not set(parts) <= set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(set(parts) - set(PARTS)))}")
    return Plan(
        parts,
        workers=(1, 2) if asked.quick else (1, 2, 4),
        records=200_000 if asked.quick else 1_000_000,
        largest=asked.records or (100_000 if asked.quick else 1_000_000),
        rate=asked.rate,
        phase_seconds=2.0 if asked.quick else 5.0,
        contender=next(each for each in CONTENDERS if each.name == asked.only),
        broker=asked.broker,
        model=asked.model,
        json=asked.json,
    )


def run(plan: Plan) -> Found:
    """Measure the parts that are asked for."""
    found = Found()
    with new_stage(plan.broker, plan.model, 0, PARTITIONS) as stage:
        if "processes" in plan.parts:
            found.processes = measure_processes(plan, stage)
        if "growth" in plan.parts:
            found.growth = measure_growth(plan, stage)
        if "rebalance" in plan.parts:
            found.rebalance = rebalance.measure(plan.contender, stage, plan.rate, plan.phase_seconds)
    return found


@errors_to_exit_codes()
def main() -> None:
    """Measure, print, and leave with 1 if a result was lost or doubled."""
    plan = parse(sys.argv[1:])
    found = run(plan)
    print(f"{plan.contender.name}, {plan.model}, {PARTITIONS} partitions, {os.cpu_count()} cores")
    for title, runs in (("processes", found.processes), ("growth", found.growth)):
        if runs:
            print("\n".join(["", title, *run_lines(runs)]))
    if found.rebalance is not None:
        print("\n".join(["", "rebalance", *rebalance_lines(found.rebalance)]))
    if plan.json:
        document = {**msgspec.to_builtins(found), "model": plan.model, "machine": machine()}
        plan.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    checked: list[Run | Rebalance] = [*found.processes, *found.growth]
    checked += [found.rebalance] if found.rebalance is not None else []
    if any(each.lost or each.duplicated for each in checked):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
