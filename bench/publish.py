"""Writes a result of `bench.stream` into README.md, docs/comparison.md, docs/performance.md and its plot.

A text between the markers `<!-- NAME -->` and `<!-- end -->` is replaced by what this module makes of the result. The
result itself is kept as docs/pictures/throughput.json, and a test compares the documents with it.

example: python -m bench.publish bench.json
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.environments import ROOT
from bench.plot import draw
from bench.report import Comparison, Result
from heartstream.terminal.exit_codes import errors_to_exit_codes

PLOT: Final = ROOT / "docs" / "pictures" / "throughput.svg"
RESULT: Final = PLOT.with_suffix(".json")
PAGES: Final = tuple(ROOT / name for name in ("README.md", "docs/comparison.md", "docs/performance.md"))
_LABELS: Final = {
    "bare": "bare loop on confluent-kafka",
    "heartstream": "**heartstream**",
    "heartstream-python": "**heartstream**, without the native core",
    "heartstream-risk": "**heartstream**, risk alone",
    "heartstream-events": "**heartstream**, scores as CloudEvents",
    "heartstream-unchecked": "**heartstream**, without checksums of what is read",
    "bare-eos": "bare loop, exactly once",
    "heartstream-eos": "**heartstream, exactly once**",
    "heartstream-risk-eos": "**heartstream, exactly once**, risk alone",
    "kafka-streams": "Kafka Streams 4.4.0, risk alone",
    "kafka-streams-2": "Kafka Streams, 2 threads, risk alone",
    "kafka-streams-eos": "Kafka Streams, exactly once, risk alone",
    "kafka-streams-2-eos": "Kafka Streams, exactly once, 2 threads, risk alone",
    "rust-risk": "loop in Rust on librdkafka, risk alone",
    "rust": "loop in Rust on librdkafka",
    "wire": "librdkafka alone, which writes each record again",
    "bytewax": "Bytewax 0.21.1",
    "quix": "Quix Streams 3.28.1, one record at a time",
    "arroyo": "Sentry's arroyo 2.48.0",
    "faststream": "FastStream 0.7.8",
    "faust-take": "stock Faust, `take`",
    "faust-record": "stock Faust, one record at a time",
    "mlserver": "MLServer 1.7.1, Kafka interface (does less)",
}
_IN_README: Final = ("heartstream", "heartstream-risk", "kafka-streams", "heartstream-risk-eos", "kafka-streams-eos")
_OTHERS_IN_README: Final = ("heartstream-python", "bare", "rust", "bytewax", "faust-take", "mlserver")


class Document(msgspec.Struct):
    """A result of `bench.stream`."""

    results: list[Result]
    comparisons: list[Comparison]
    date: str
    records: int
    runs: int
    machine: Mapping[str, object]

    def result(self, name: str) -> Result:
        """Return a contender's result."""
        return next(each for each in self.results if each.name == name)

    def table(self) -> list[str]:
        """Return all contenders, the fastest first."""
        rows = list(map(_row, sorted(self.results, key=lambda each: -each.records_per_s)))
        heads = ("", "records/s (min..max)", "ratio to the bare loop (min..max)", "CPU s per million", "peak MiB")
        return [f"| {' | '.join(heads)} |", "|---|---|---|---|---|", *rows]

    def ratios(self) -> list[str]:
        """Return each comparison of rates, with its goal."""
        return [
            f"- {_LABELS[each.name]} / {_LABELS[each.other]}: {each.rate.median:.2f} "
            f"({each.rate.low:.2f}..{each.rate.high:.2f})"
            f"{'' if each.goal is None else f', goal {each.goal:g}: ' + _met(each)}; CPU time {each.cpu.median:.2f}"
            for each in self.comparisons
        ]

    def conditions(self) -> list[str]:
        """Say when, where and how much."""
        wrong = sum(each.lost + each.duplicated + each.different for each in self.results)
        return [
            f"{self.date}, {self.machine['cores']} cores ({self.machine['processor']}), shared with the broker;",
            f"{self.runs} rounds of {self.records:,} records in alternating order;",
            f"{wrong} results lost, duplicated or different.",
        ]

    def summary(self) -> list[str]:
        """Return the table of README.md."""
        rows = [
            f"| {_LABELS[each.name]} | {rate(each)} | {_cpu(each)} |"
            for each in map(self.result, _IN_README + _OTHERS_IN_README)
        ]
        return ["| one process | records/s | CPU µs per record |", "|---|---|---|", *rows]

    def row(self) -> list[str]:
        """Return the row of docs/comparison.md."""
        names = ("heartstream", "bytewax", "quix", "kafka-streams")
        return [f"Records/s: {'; '.join(f'{_LABELS[name]} {rate(self.result(name))}' for name in names)}."]


BLOCKS: Final[Mapping[str, Callable[[Document], Sequence[str]]]] = {
    "stream table": Document.table,
    "stream ratios": Document.ratios,
    "stream conditions": Document.conditions,
    "stream summary": Document.summary,
    "stream row": Document.row,
}


def filled(page: str, document: Document) -> str:
    """Return a page with what stands between its markers made anew."""

    def block(found: re.Match[str]) -> str:
        made = BLOCKS.get(found["name"])
        return found[0] if made is None else "\n".join([f"<!-- {found['name']} -->", *made(document), "<!-- end -->"])

    return re.sub(r"<!-- (?P<name>[a-z ]+) -->\n.*?<!-- end -->", block, page, flags=re.DOTALL)


def _row(found: Result) -> str:
    low, high = rounded(found.records_per_s_min), rounded(found.records_per_s_max)
    ratios = (found.ratio_to_bare, found.ratio_to_bare_min, found.ratio_to_bare_max)
    ratio, ratio_low, ratio_high = map(_decimals, ratios)
    return (
        f"| {_LABELS[found.name]} | {rate(found)} ({low}..{high}) | {ratio} ({ratio_low}..{ratio_high}) "
        f"| {_cpu(found)} | {found.peak_mib:.0f} |"
    )


def rate(found: Result) -> str:
    """Return the median rate."""
    return rounded(found.records_per_s)


def rounded(value: float) -> str:
    """Return a number to three digits, a small one to two."""
    digits = 3 if value >= 100_000 else 2  # noqa: PLR2004  # 69,000, and 209,000
    return f"{round(value, digits - len(str(int(value)))):,}"


def _cpu(found: Result) -> str:
    value = found.cpu_seconds_per_million
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004  # three digits are enough


def _decimals(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else f"{value:.3f}"  # noqa: PLR2004  # not 0.00


def _met(found: Comparison) -> str:
    return "met" if found.rate.median >= (found.goal or 0.0) else "**missed**"


@errors_to_exit_codes()
def main() -> None:
    """Keep the result, and write it into the documents."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path, help="what `bench.stream --peers all --json` wrote")
    raw = parser.parse_args().result.read_bytes()
    document = msgspec.json.decode(raw, type=Document)
    RESULT.write_bytes(raw)
    PLOT.write_text(draw(raw), encoding="utf-8")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), document), encoding="utf-8")


if __name__ == "__main__":
    main()
