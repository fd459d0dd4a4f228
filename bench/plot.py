"""Draws the stream benchmark's JSON as bars: `python -m bench.plot bench.json docs/pictures/throughput.svg`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from bench.report import Result
from heartstream.terminal.exit_codes import errors_to_exit_codes

_FONT: Final = "font-family='ui-sans-serif, system-ui, sans-serif'"
_OURS: Final = "#2b6cb0"
_BARE: Final = "#71717a"
_OTHERS: Final = "#b7791f"
_LABEL, _BAR, _ROW, _TOP = 150, 560, 34, 62


class Document(msgspec.Struct):
    """What the plot needs of the JSON."""

    results: list[Result]
    model: str
    records: int
    runs: int
    machine: dict[str, object]


def draw(document: bytes) -> str:
    """Return the medians as an SVG, with a line from each lowest to each highest run."""
    told = msgspec.json.decode(document, type=Document)
    ordered = sorted(told.results, key=lambda each: -each.records_per_s)
    scale = _BAR / max(each.records_per_s_max for each in ordered)
    height = _TOP + _ROW * len(ordered) + 30
    width = _LABEL + _BAR + 210
    runs = "1 run" if told.runs == 1 else f"{told.runs} runs in alternating order"
    caption = f"{runs}; {told.records:,} records; {told.model.replace('_', ' ')}; "
    machine = f"{told.machine['cores']} cores shared with the broker ({told.machine['processor']})"
    rows = "\n".join(_row(each, _TOP + _ROW * number, scale) for number, each in enumerate(ordered))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' {_FONT}>\n"
        f"<rect width='{width}' height='{height}' fill='white'/>\n"
        "<text x='12' y='26' font-size='16' font-weight='600'>Records scored a second, one process</text>\n"
        f"<text x='12' y='45' font-size='11.5' fill='#52525b'>{escape(caption + machine)}</text>\n"
        f"{rows}\n"
        f"<text x='12' y='{height - 10}' font-size='11.5' fill='#52525b'>bar: median; line: lowest to highest run; "
        "number: median, and its ratio to the bare loop of the same round</text>\n</svg>\n"
    )


def _row(each: Result, y: int, scale: float) -> str:
    colour = _OURS if each.name.startswith("heartstream") else _BARE if each.name.startswith("bare") else _OTHERS
    length = max(each.records_per_s * scale, 1)
    low, high = (_LABEL + value * scale for value in (each.records_per_s_min, each.records_per_s_max))
    middle = y + 11
    ratio = f"{each.ratio_to_bare:.2f}" if each.ratio_to_bare >= 0.1 else f"{each.ratio_to_bare:.3f}"  # noqa: PLR2004  # enough digits
    text = f"{each.records_per_s:,}/s  ({ratio} of bare)"
    return (
        f"<text x='{_LABEL - 8}' y='{middle + 4}' font-size='13' text-anchor='end'>{escape(each.name)}</text>"
        f"<rect x='{_LABEL}' y='{y}' width='{length:.1f}' height='22' fill='{colour}' fill-opacity='0.75'/>"
        f"<line x1='{low:.1f}' y1='{middle}' x2='{high:.1f}' y2='{middle}' stroke='#18181b' stroke-width='1.5'/>"
        f"<text x='{max(_LABEL + length, high) + 8:.1f}' y='{middle + 4}' font-size='12' fill='#18181b'>{text}</text>"
    )


@errors_to_exit_codes()
def main() -> None:
    """Draw one picture."""
    parser = argparse.ArgumentParser(prog="python -m bench.plot", description=__doc__)
    parser.add_argument("json", type=Path, help="what bench.stream wrote with --json")
    parser.add_argument("svg", type=Path, help="the picture")
    asked = parser.parse_args(sys.argv[1:])
    asked.svg.write_text(draw(asked.json.read_bytes()), encoding="utf-8")


if __name__ == "__main__":
    main()
