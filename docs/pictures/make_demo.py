"""Draws docs/pictures/demo.svg, which moves, from a real run of the demo: `python docs/pictures/make_demo.py MODEL`."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.text import Text

from heartstream.demo.live import render
from heartstream.demo.rates import Rates
from heartstream.demo.reconciliation import Reconciliation, summary_lines
from heartstream.demo.run import DemoRequest, run_demo
from runtime.settings import Settings

RECORDS, EVERY_RECORDS = 2000, 250
WIDTH: Final = 92
LINE_SECONDS, PANEL_SECONDS, LAST_SECONDS = 0.6, 0.8, 6.0


class Recorder:
    """A view that keeps what a terminal shows: after each line, and while the numbers grow."""

    def __init__(self, command: str) -> None:
        self.frames: list[tuple[float, list[RenderableType]]] = []
        self._lines: list[RenderableType] = [Text(f"$ {command}", style="bold")]
        self._panel: Group | None = None
        self._rates = Rates()
        self._keep(LINE_SECONDS)

    def print_line(self, line: str) -> None:
        """Keep a line: below the last panel if there is one, which stays."""
        if self._panel is not None:
            self._lines.append(self._panel)
            self._panel = None
        self._lines.append(Text(line))
        self._keep(LINE_SECONDS)

    def update(self, reconciliation: Reconciliation) -> None:
        """Keep the panel, each time that some more records have been produced."""
        self._panel = render(reconciliation, self._rates)
        shown = sum(seconds == PANEL_SECONDS for seconds, _ in self.frames)
        if reconciliation.summary().produced >= shown * EVERY_RECORDS:
            self._keep(PANEL_SECONDS)

    def _keep(self, seconds: float) -> None:
        panel = [] if self._panel is None else [self._panel]
        self.frames.append((seconds, [*self._lines, *panel]))


def terminal(contents: Sequence[RenderableType]) -> Console:
    """Return a terminal that keeps what it shows: a frame."""
    found = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    for each in contents:
        found.print(each, highlight=False)
    return found


def drawn(contents: Sequence[RenderableType], lines: int, name: str) -> str:
    """Return a frame as SVG, as high as the highest one."""
    filled = terminal([*contents, "\n" * max(lines - height(contents) - 1, 0)])
    return re.sub(r"@font-face \{.*?\}", "", filled.export_svg(title="heartstream", unique_id=name), flags=re.DOTALL)


def height(contents: Sequence[RenderableType]) -> int:
    """Count the lines of a frame."""
    return terminal(contents).export_text().count("\n")


def moving(frames: Sequence[tuple[float, Sequence[RenderableType]]]) -> str:
    """Return all frames as one SVG, one after the other; the last one alone where motion is not wanted."""
    lines = max(height(contents) for _, contents in frames)
    parts = [drawn(contents, lines, f"f{number}") for number, (_, contents) in enumerate(frames)]
    total, rules, start = sum(seconds for seconds, _ in frames), [], 0.0
    for number, (seconds, _) in enumerate(frames):
        first, last = 100 * start / total, 100 * (start + seconds) / total
        begin = "" if number == 0 else "0% {visibility: hidden} "
        rules.append(
            f"@keyframes k{number} {{{begin}{first:.2f}% {{visibility: visible}} {last:.2f}%, 100% "
            f"{{visibility: {'visible' if number == len(frames) - 1 else 'hidden'}}}}} "
            f"#s{number} {{animation: k{number} {total:.1f}s step-end infinite}}"
        )
        start += seconds
    last_frame = f"#s{len(frames) - 1} {{visibility: visible}}"
    still = f"@media (prefers-reduced-motion: reduce) {{#s0, .s {{animation: none !important}} {last_frame}}}"
    size = re.search(r'viewBox="([^"]*)"', parts[-1])
    bodies = (part.replace("<svg ", f'<svg id="s{number}" ', 1) for number, part in enumerate(parts))
    bodies = (body.replace('class="rich-terminal"', 'class="rich-terminal s"', 1) for body in bodies)
    style = "\n".join([".s {visibility: hidden}", *rules, still])
    return "\n".join(
        [
            f'<svg viewBox="{size[1] if size else ""}" xmlns="http://www.w3.org/2000/svg">',
            f"<style>\n{style}\n</style>",
            *bodies,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Run the demo and draw it."""
    recorder = Recorder(f"./run demo --rate 400 --records {RECORDS}")
    request = DemoRequest("embedded", Path(sys.argv[1]), rate=400, records=RECORDS, bad_share=0.03, seed=7)
    summary = run_demo(request, Settings(), recorder)
    for line in summary_lines(summary):
        recorder.print_line(line)
    frames = [*recorder.frames[:-1], (LAST_SECONDS, recorder.frames[-1][1])]
    Path(__file__).with_name("demo.svg").write_text(moving(frames), encoding="utf-8")


if __name__ == "__main__":
    main()
