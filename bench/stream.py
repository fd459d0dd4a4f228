"""Throughput of the worker, beside a bare confluent-kafka loop and other people's frameworks, in one run.

All contenders read the same topic on the same broker and do the same work, one after another, in an order that
alternates from round to round. With a contender on the JVM or in native code, the first half of each one's results is
not timed: a JVM compiles meanwhile. What is measured, and how: bench/README.md.

example: python -m bench.stream --only heartstream,bytewax --runs 3 --json bench.json --plot bench.svg
example: python -m bench.stream --peers all --runs 3 --json bench.json
example: python -m bench.stream --only heartstream --table tests/tables/flchain.toml --data flchain.csv
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from bench import mlserver_door
from bench.contenders import CONTENDERS, PEERS, Contender, chosen
from bench.contest import Run, run_contender
from bench.load import PARTITIONS, tell
from bench.output import Output, read_output, same_place
from bench.plot import draw
from bench.report import YARDSTICK, as_json, lines, machine
from bench.stage import AskedBroker, Stage, add_arguments, new_stage
from bench.toolchains import missing_tools
from heartstream.terminal.exit_codes import errors_to_exit_codes
from schemas.tables.builtin import UCI_HEART
from schemas.tables.toml_file import read_table_file
from training.pipeline import OwnPatients

_WARM_UP_RECORDS: Final = 50_000
_LEAST_RECORDS: Final = 2_000
_RECORDS: Final = 600_000
_RECORDS_WITH_NATIVE: Final = 2_400_000
"""A JVM has compiled what matters when half of them are scored."""
_QUICK_RECORDS: Final = 120_000
_FAILURES: Final = (RuntimeError, TimeoutError, ValueError, IndexError)


class Plan(msgspec.Struct, frozen=True):
    """One benchmark: who, how much, how often, with what."""

    contenders: list[Contender]
    records: int
    runs: int
    broker: AskedBroker
    model: str
    json: Path | None
    plot: Path | None
    own: OwnPatients | None = None

    @property
    def untimed(self) -> float:
        """The share of each contender's results that is not timed."""
        return 0.5 if any(contender.is_native for contender in self.contenders) else 0.0

    @property
    def table(self) -> str:
        """Name and version of the feature table."""
        return (UCI_HEART if self.own is None else self.own.table).identifier


class Contest:
    """The rounds, and what came of them. A contender that fails is out, and the others go on."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self.table: dict[str, list[Run]] = {contender.name: [] for contender in plan.contenders}
        self.failed: dict[str, str] = {}
        self._plan = plan
        self._stage = stage
        self._first: dict[str, Output] = {}

    def run(self) -> None:
        """Run all contenders, in alternating order (ABC CBA ...). Raises if the yardstick itself fails."""
        tell("warming the broker up (not counted)")
        run_contender(self._plan.contenders[0], self._stage, min(_WARM_UP_RECORDS, self._plan.records))
        for number in range(self._plan.runs):
            order = self._plan.contenders if number % 2 == 0 else self._plan.contenders[::-1]
            for contender in order:
                if contender.name not in self.failed:
                    self._attempt(contender, number + 1)
        for name in self.failed:
            del self.table[name]

    def _attempt(self, contender: Contender, number: int) -> None:
        try:
            run = self._measured(contender)
        except _FAILURES as error:
            if contender.name == YARDSTICK:
                raise
            self.failed[contender.name] = str(error)
            tell(f"run {number}/{self._plan.runs} {contender.name:16} FAILED: {error}")
            return
        self.table[contender.name].append(run)
        noted = "; ".join(run.troubles) or "complete, no duplicate, bytes as the others"
        rate, cpu = run.reading.records_per_s, run.reading.cpu_us
        tell(f"run {number}/{self._plan.runs} {contender.name:16}{rate:>10,.0f} records/s {cpu:8.2f} µs CPU  {noted}")

    def _measured(self, contender: Contender) -> Run:
        """Run one contender, and compare what it wrote with what the first one wrote that says as much."""
        records = self._plan.records
        # What makes a JVM warm would only make the slow ones slower to wait for.
        share = records if contender.share == 1 else round(min(records, _RECORDS) * contender.share)
        results = max(share, min(_LEAST_RECORDS, records))
        if contender.input == "requests":
            return mlserver_door.run(contender, self._stage, results)
        run, output = run_contender(contender, self._stage, results, self._plan.untimed)
        if contender.says == "records" and contender.says not in self._first:
            stage = self._stage
            self._first[contender.says] = read_output(stage.address, stage.topic, stage.ends, same_place)
        first = self._first.setdefault(contender.says, output)
        return msgspec.structs.replace(run, different=output.differing(first))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.stream", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(contender.name for contender in CONTENDERS)
    parser.add_argument("--quick", action="store_true", help="bare, heartstream and faust-take once: under 50 s")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--only", metavar="NAMES", help=f"some of, with commas: {names}; bare always runs")
    who.add_argument(
        "--peers",
        choices=list(PEERS),
        help="python: those in Python (default); native: Kafka Streams and Rust, beside ours; all: both",
    )
    parser.add_argument(
        "--records", type=int, help="input records (default 600,000; 2,400,000 with native peers; quick 120,000)"
    )
    parser.add_argument("--runs", type=int, help="rounds (default 5; quick 1)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the medians here")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the medians here, as SVG")
    add_arguments(parser)
    parser.add_argument("--table", metavar="TOML", type=Path, help="the feature table of other patients")
    parser.add_argument("--data", metavar="CSV", type=Path, help="their labelled file, as for `heartstream train`")
    return parser


def parse(arguments: Sequence[str]) -> Plan:
    """Read the command line."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if (asked.table is None) != (asked.data is None):
        parser.error("--table and --data need each other")
    try:
        contenders = chosen(
            asked.only, asked.peers, quick=asked.quick, other_table=asked.table is not None, model=asked.model
        )
    except ValueError as error:
        parser.error(str(error))
    records = _RECORDS_WITH_NATIVE if any(contender.is_native for contender in contenders) else _RECORDS
    return Plan(
        contenders,
        records=asked.records or (_QUICK_RECORDS if asked.quick else records),
        runs=asked.runs or (1 if asked.quick else 5),
        broker=asked.broker,
        model=asked.model,
        json=asked.json,
        plot=asked.plot,
        own=None if asked.table is None else OwnPatients(asked.data, read_table_file(asked.table)),
    )


def able(plan: Plan) -> tuple[Plan, dict[str, str]]:
    """Leave out the contenders that cannot be built here; returns the reason for each of them, by name."""
    skipped = {
        contender.name: f"{', '.join(missing)} not installed"
        for contender in plan.contenders
        if (missing := missing_tools(contender.environment))
    }
    for reason in sorted(set(skipped.values())):
        tell(f"{', '.join(name for name, its in skipped.items() if its == reason)}: skipped: {reason}")
    contenders = [contender for contender in plan.contenders if contender.name not in skipped]
    return msgspec.structs.replace(plan, contenders=contenders), skipped


@errors_to_exit_codes()
def main() -> None:
    """Measure, print, and leave with 1 if a contender failed, or a result was lost, duplicated or different."""
    plan, skipped = able(parse(sys.argv[1:]))
    started = time.monotonic()
    with new_stage(plan.broker, plan.model, plan.records, own=plan.own) as stage:
        contest = Contest(plan, stage)
        contest.run()
    its = machine()
    print(f"{plan.table}, {plan.model}, {plan.records:,} records, {PARTITIONS} partitions, {plan.runs} runs")
    print(f"{datetime.now(tz=UTC):%Y-%m-%d}, {its['cores']} cores, {its['processor']}, {its['system']}")
    print("\n".join(lines(contest.table, plan.model)))
    for name, reason in contest.failed.items():
        print(f"{name}: not measured: {reason}")
    counted = "the second half of the results" if plan.untimed else "results from the first to the last"
    print(f"rate: {counted}, by the broker's clock; CPU: user and system\ntime of the contender's processes meanwhile")
    told = {
        "table": plan.table,
        "records": plan.records,
        "runs": plan.runs,
        "partitions": PARTITIONS,
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "untimed_share": plan.untimed,
        "skipped": skipped,
    }
    document = as_json(contest.table, plan.model, told, contest.failed)
    if plan.json:
        plan.json.write_bytes(document)
    if plan.plot:
        plan.plot.write_text(draw(document), encoding="utf-8")
    tell(f"took {time.monotonic() - started:.0f} s")
    if contest.failed or any(run.troubles for runs in contest.table.values() for run in runs):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
