"""The demo's live view on a terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from heartstream.demo.rates import Rates
from heartstream.demo.reconciliation import Reconciliation
from runtime.record_to_score import NAME, as_text
from schemas.records import Score

_BAR_CELLS: Final = 20


class LiveView:
    """A panel that is redrawn ten times a second; the last one stays on the terminal."""

    def __init__(self) -> None:
        self._console = Console()
        self._shown: RenderableType | None = None
        self._printed_at = time.monotonic()
        self._live = Live(console=self._console, refresh_per_second=10, get_renderable=self._now)
        self._rates = Rates()

    def __enter__(self) -> Self:
        """Start drawing."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._live.stop()

    def _now(self) -> RenderableType:
        """Return the panel, or, before there is one, for how many seconds the last line has been true."""
        seconds = time.monotonic() - self._printed_at
        return self._shown or Text(f"{seconds:.0f} s" if seconds >= 1 else "", style="dim")

    def print_line(self, line: str) -> None:
        """Print a line above the panel."""
        self._printed_at = time.monotonic()
        # Without line breaks of its own: lines are pasted into other terminals.
        self._live.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def update(self, reconciliation: Reconciliation) -> None:
        """Redraw the panel."""
        self._shown = render(reconciliation, self._rates)


def render(reconciliation: Reconciliation, rates: Rates) -> Group:
    """Return the panel, the last scores and the codes of dead letters."""
    return Group(_numbers(reconciliation, rates), _scores(reconciliation), _issues(reconciliation))


def _numbers(reconciliation: Reconciliation, rates: Rates) -> Panel:
    produced, finished = rates.update(reconciliation, time.monotonic())
    summary = reconciliation.summary()
    grid = Table.grid(padding=(0, 3))
    grid.add_row("produced", "scored", "dead letters", "lag", "in", "out", style="dim")
    grid.add_row(
        str(summary.produced),
        f"[green]{summary.scored}",
        f"[red]{summary.dead}",
        f"[yellow]{summary.open}",
        f"{produced:.0f}/s",
        f"{finished:.0f}/s",
        style="bold",
    )
    times = f"{NAME}: {as_text(reconciliation.record_to_score())}"
    return Panel(Group(grid, times), title="heartstream: patients -> scores", title_align="left", expand=False)


def _scores(reconciliation: Reconciliation) -> Table:
    table = Table(title="last scores", title_justify="left", box=None, padding=(0, 2))
    for heading in ("patient", "risk", "", "not measured"):
        table.add_column(heading, justify="left")
    for score in reversed(reconciliation.last_scores):
        table.add_row(score.patient_id, f"{score.risk:.2f}", _bar(score), " ".join(score.missing))
    return table


def _bar(score: Score) -> Text:
    filled = round(score.risk * _BAR_CELLS)
    colour = "red" if score.label else "green"
    return Text("█" * filled, style=colour) + Text("░" * (_BAR_CELLS - filled), style="dim")


def _issues(reconciliation: Reconciliation) -> Table:
    table = Table(title="dead letters by code", title_justify="left", box=None, padding=(0, 2), show_header=False)
    for code, count in reconciliation.issues.most_common(8):
        table.add_row(str(count), code)
    return table
