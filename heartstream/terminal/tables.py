"""Tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

_PIPE_WIDTH: Final = 200
"""A pipe has no width: wide enough that no cell wraps."""


def print_line(line: str) -> None:
    """Print a line and flush."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table and an empty line: with ruled headings on a terminal, as plain aligned text elsewhere."""
    from rich import box  # noqa: PLC0415  # train extra only
    from rich.console import Console  # noqa: PLC0415  # train extra only
    from rich.table import Table  # noqa: PLC0415  # train extra only

    console = Console(markup=False, emoji=False)
    framed = console.is_terminal
    if not framed:
        console = Console(width=_PIPE_WIDTH, markup=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD if framed else None, pad_edge=framed)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    print_line("")
