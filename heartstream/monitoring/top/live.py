"""The live view on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from heartstream.monitoring.top.scrape import NO_ANSWER
from heartstream.monitoring.top.tables import Sheet, fitting, number, sheets, span
from heartstream.monitoring.top.worker_stats import Figures


def picture(group: Figures, workers: Sequence[Figures], width: int) -> Group:
    """Draw a group: the figures that matter most on one line, the workers, and beside each other lag and letters."""
    first, *others = (_table(fitting(sheet, width)) for sheet in sheets(group, workers))
    return Group(_head(group), "", first, "", Columns(others, padding=(1, 4)))


def _head(group: Figures) -> Text:
    parts = (
        ("heartstream top  ", "bold"),
        (f"{time.strftime('%H:%M:%S')}  {group.state}", ""),
        (f"   {number(group.scored)} scored/s", "bold green"),
        (f"   {number(group.rejected)} rejected/s", "bold red" if group.rejected else "dim"),
        (f"   lag {number(group.lag)}, {span(group.oldest)}", "bold yellow" if group.lag else "dim"),
        (f"   p50 {span(group.quantile(0.5))}  p99 {span(group.quantile(0.99))}", "bold"),
        (f"   {group.model}", "dim"),
    )
    return Text.assemble(*parts)


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    last = len(sheet.headings) - 1
    for column, heading in enumerate(sheet.headings):
        words = column == 0 or (sheet.words and column == last)
        table.add_column(heading, justify="left" if words else "right", header_style="dim", no_wrap=not words)
    for row in sheet.rows:
        table.add_row(*(_cell(cell) for cell in row))
    return table


def _cell(cell: str) -> Text:
    """Colour what a state says."""
    if cell == NO_ANSWER or cell.startswith("not live"):
        return Text(cell, style="bold red")
    if cell.startswith("not ready"):
        return Text(cell, style="yellow")
    return Text(cell, style="green" if cell == "ready" else "")


def show_once(group: Figures, workers: Sequence[Figures]) -> None:
    """Draw a group and leave it on the terminal."""
    console = Console(highlight=False)
    console.print(picture(group, workers, console.width))


def show(pictures: Iterable[tuple[Figures, tuple[Figures, ...]]]) -> None:
    """Draw one picture after the other in the same place, until interrupted."""
    waiting = Text("heartstream top  reading ...", style="dim")
    console = Console(highlight=False)
    with Live(waiting, console=console, auto_refresh=False, screen=True) as live:
        for group, workers in pictures:
            live.update(picture(group, workers, console.width), refresh=True)
