"""Draws docs/pictures/demo.svg from a real run of the demo: `python docs/pictures/make_demo.py MODEL_DIRECTORY`."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console, Group

from heartstream.demo.live import render
from heartstream.demo.rates import Rates
from heartstream.demo.reconciliation import Reconciliation, summary_lines
from heartstream.demo.run import DemoRequest, run_demo
from runtime.settings import Settings

SHOWN_AFTER_RECORDS = 1500


class Recorder:
    """A view that keeps what a terminal would have shown in mid-run."""

    def __init__(self) -> None:
        self.console = Console(record=True, width=92, force_terminal=True, file=io.StringIO())
        self.frame: Group | None = None
        self._rates = Rates()

    def print_line(self, line: str) -> None:
        """Keep a line, after the last frame if there is one."""
        if self.frame is not None:
            self.console.print(self.frame)
            self.frame = None
        self.console.print(line, highlight=False, markup=False)

    def update(self, reconciliation: Reconciliation) -> None:
        """Keep the frame that is current when enough records have flowed."""
        panel = render(reconciliation, self._rates)
        if reconciliation.summary().produced <= SHOWN_AFTER_RECORDS:
            self.frame = panel


def main() -> None:
    """Run the demo and draw it."""
    recorder = Recorder()
    request = DemoRequest("embedded", Path(sys.argv[1]), rate=400, records=2000, bad_share=0.03, seed=7)
    recorder.console.print("$ ./run demo --rate 400 --records 2000", style="bold", highlight=False)
    summary = run_demo(request, Settings(), recorder)
    for line in summary_lines(summary):
        recorder.print_line(line)
    drawing = re.sub(r"@font-face \{.*?\}", "", recorder.console.export_svg(title="heartstream"), flags=re.DOTALL)
    Path(__file__).with_name("demo.svg").write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
