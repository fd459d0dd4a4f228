"""Latency at a steady, low load: from a record's produce call until its result is in a consumer's hands.

A paced producer (a process of its own) writes records one by one; a consumer reads the results and matches them by key.
The floor is the same without any worker between: the consumer reads the records themselves. What is measured, and
how: bench/README.md.

example: python -m bench.latency --rate 1000 --seconds 20 --rounds 5 --json latency.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import CONTENDERS
from bench.latency_round import FLOOR, Pace, Round, measure
from bench.load import tell
from bench.report import machine
from bench.stage import AskedBroker, add_arguments, new_stage
from heartstream.terminal.exit_codes import errors_to_exit_codes

DEFAULT: Final = (FLOOR, "bare", "heartstream")
_BROKER_WARM_UP_SECONDS: Final = 5.0


class Plan(msgspec.Struct, frozen=True):
    """Who, how fast, for how long, how often."""

    names: tuple[str, ...]
    pace: Pace
    rounds: int
    broker: AskedBroker
    model: str
    json: Path | None


class Row(msgspec.Struct, frozen=True):
    """One contender over all rounds: medians, and the largest maximum."""

    name: str
    p50_ms: float
    p50_ms_min: float
    p50_ms_max: float
    p99_ms: float
    p99_ms_min: float
    p99_ms_max: float
    p999_ms: float
    max_ms: float
    late_ms: float
    rate: float
    cpu_percent: float
    lost: int
    duplicated: int


def row(name: str, rounds: Sequence[Round]) -> Row:
    """Sum rounds up."""

    def median(field: str) -> float:
        values: list[float] = [getattr(each, field) for each in rounds]
        return round(statistics.median(values), 2)

    p50, p99 = ([each.p50_ms for each in rounds], [each.p99_ms for each in rounds])
    return Row(
        name,
        *(median("p50_ms"), round(min(p50), 2), round(max(p50), 2)),
        *(median("p99_ms"), round(min(p99), 2), round(max(p99), 2)),
        p999_ms=median("p999_ms"),
        max_ms=round(max(each.max_ms for each in rounds), 2),
        late_ms=median("late_ms"),
        rate=median("rate"),
        cpu_percent=median("cpu_percent"),
        lost=sum(each.lost for each in rounds),
        duplicated=sum(each.duplicated for each in rounds),
    )


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the table as aligned text."""
    header = f"{'':16}{'p50 ms':>9}{'min..max':>17}{'p99 ms':>9}{'min..max':>17}{'p99.9 ms':>10}{'max ms':>9}"
    text = [f"{header}{'late ms':>9}{'records/s':>11}{'CPU %':>7}  lost/duplicated"]
    for each in rows:
        p50 = f"{each.p50_ms_min:.2f}..{each.p50_ms_max:.2f}"
        p99 = f"{each.p99_ms_min:.2f}..{each.p99_ms_max:.2f}"
        text.append(
            f"{each.name:16}{each.p50_ms:>9.2f}{p50:>17}{each.p99_ms:>9.2f}{p99:>17}{each.p999_ms:>10.2f}"
            f"{each.max_ms:>9.2f}{each.late_ms:>9.2f}{each.rate:>11.0f}{each.cpu_percent:>7.1f}"
            f"  {each.lost}/{each.duplicated}"
        )
    return text


def parse(arguments: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    allowed = (FLOOR, *(each.name for each in CONTENDERS if each.input == "records"))
    parser.add_argument("--quick", action="store_true", help="one round of 5 s each")
    parser.add_argument("--only", metavar="NAMES", help=f"with commas, of: {', '.join(allowed)}")
    parser.add_argument("--rate", type=float, default=1_000.0, help="records a second (default 1,000)")
    parser.add_argument("--seconds", type=float, help="counted time of a round (default 20; quick 5)")
    parser.add_argument("--rounds", type=int, help="rounds (default 5; quick 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    add_arguments(parser)
    asked = parser.parse_args(arguments)
    names = tuple(asked.only.split(",")) if asked.only else DEFAULT
    if not set(names) <= set(allowed):
        parser.error(f"no such contender: {', '.join(sorted(set(names) - set(allowed)))}")
    return Plan(
        names,
        Pace(asked.rate, asked.seconds or (5.0 if asked.quick else 20.0)),
        rounds=asked.rounds or (1 if asked.quick else 5),
        broker=asked.broker,
        model=asked.model,
        json=asked.json,
    )


@errors_to_exit_codes()
def main() -> None:
    """Measure, print, and leave with 1 if a result was lost or doubled."""
    plan = parse(sys.argv[1:])
    found: dict[str, list[Round]] = {name: [] for name in plan.names}
    with new_stage(plan.broker, plan.model, 0) as stage:
        tell("warming the broker up (not counted)")
        measure(FLOOR, stage, Pace(plan.pace.rate, _BROKER_WARM_UP_SECONDS))
        for number in range(plan.rounds):
            for name in plan.names if number % 2 == 0 else plan.names[::-1]:
                one = measure(name, stage, plan.pace)
                found[name].append(one)
                tell(f"round {number + 1}/{plan.rounds} {name:16} p50 {one.p50_ms:.2f} ms, p99 {one.p99_ms:.2f} ms")
    rows = [row(name, rounds) for name, rounds in found.items()]
    pace = f"{plan.pace.rate:,.0f} records/s for {plan.pace.seconds:.0f} s"
    print(f"{pace}, {plan.rounds} rounds, {plan.model}, {os.cpu_count()} cores")
    print("\n".join(lines(rows)))
    if plan.json:
        document = {"results": rows, "model": plan.model, "asked_rate": plan.pace.rate, "machine": machine()}
        plan.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    if any(each.lost or each.duplicated for each in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
