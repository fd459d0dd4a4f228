"""The live view of `heartstream top`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heartstream.monitoring.top.scrape import NO_ANSWER
from heartstream.monitoring.top.tables import TextTable, fit_width, format_duration, number, tables_of
from heartstream.monitoring.top.worker_stats import WorkerStats


def picture(group: WorkerStats, workers: Sequence[WorkerStats], width: int) -> Group:
    """Return the view: one line with the key statistics, the workers, and side by side lag and dead letters."""
    first, *others = (_table(fit_width(text_table, width)) for text_table in tables_of(group, workers))
    return Group(_head(group), "", first, "", Columns(others, padding=(1, 4)))


def _head(group: WorkerStats) -> Text:
    parts = (
        ("heartstream top  ", "bold"),
        (f"{time.strftime('%H:%M:%S')}  {group.state}", ""),
        (f"   {number(group.scored)} scored/s", "bold green"),
        (f"   {number(group.rejected)} rejected/s", "bold red" if group.rejected else "dim"),
        (f"   lag {number(group.lag)}, {format_duration(group.oldest)}", "bold yellow" if group.lag else "dim"),
        (f"   p50 {format_duration(group.quantile(0.5))}  p99 {format_duration(group.quantile(0.99))}", "bold"),
        (f"   {group.model}", "dim"),
    )
    return Text.assemble(*parts)


def _table(text_table: TextTable) -> Table:
    table = Table(title=text_table.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    last = len(text_table.headings) - 1
    for column, heading in enumerate(text_table.headings):
        words = column == 0 or (text_table.words and column == last)
        table.add_column(heading, justify="left" if words else "right", header_style="dim", no_wrap=not words)
    for row in text_table.rows:
        table.add_row(*(_cell(cell) for cell in row))
    return table


def _cell(cell: str) -> Text:
    """Colour a cell by the state in it."""
    if cell == NO_ANSWER or cell.startswith("not live"):
        return Text(cell, style="bold red")
    if cell.startswith("not ready"):
        return Text(cell, style="yellow")
    return Text(cell, style="green" if cell == "ready" else "")


def show_once(group: WorkerStats, workers: Sequence[WorkerStats]) -> None:
    """Print one view."""
    console = Console(highlight=False)
    console.print(picture(group, workers, console.width))


def show(pictures: Iterable[tuple[WorkerStats, tuple[WorkerStats, ...]]]) -> None:
    """Refresh the view until interrupted."""
    waiting = Text("heartstream top  reading ...", style="dim")
    console = Console(highlight=False)
    with Live(waiting, console=console, auto_refresh=False, screen=True) as live:
        for group, workers in pictures:
            live.update(picture(group, workers, console.width), refresh=True)
