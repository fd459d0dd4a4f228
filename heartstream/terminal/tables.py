"""Tables on standard output."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from heartstream.terminal.wrapping import WIDTH, filled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_GAP: Final = "  "
_ANY_WIDTH: Final = 10_000
_PIPE_WIDTH: Final = 200
"""A pipe has no width: wide enough that no cell wraps."""


def print_line(line: str) -> None:
    """Print a line and flush."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_wrapped(text: str, others: str = "") -> None:
    """Print a sentence: on a terminal in lines that fit, as one line elsewhere; see `wrapped`."""
    print_line(filled(text, others=others) if sys.stdout.isatty() else text)


def terminal_width() -> int | None:
    """Return the columns of the terminal that standard output is; None if it is none."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else None


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table and an empty line: with ruled headings on a terminal, as plain aligned text elsewhere.

    Columns are closer to each other where the terminal is narrow. A table that is still too wide is printed as a list.
    """
    from rich.console import Console  # noqa: PLC0415  # train extra only

    console = Console(markup=False, emoji=False)
    listed = list(rows)
    if not console.is_terminal:
        plain = Console(width=_PIPE_WIDTH, markup=False, emoji=False)
        plain.print(_table(headings, listed, box=None, pad_edge=False))
    elif (table := _fitting(headings, listed, console)) is not None:
        console.print(table)
    else:
        print_list(headings[1:], listed, console.width)
    print_line("")


def _fitting(headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> Table | None:
    """Return a table that fits the terminal without wrapped cells, if there is one."""
    from rich import box  # noqa: PLC0415  # train extra only

    unlimited = console.options.update(max_width=_ANY_WIDTH)
    for tight in (False, True):
        table = _table(headings, rows, box=box.SIMPLE_HEAD, pad_edge=not tight, collapse_padding=tight)
        if table.__rich_measure__(console, unlimited).maximum <= console.width:
            return table
    return None


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], **form: Any) -> Table:
    from rich.table import Table  # noqa: PLC0415  # train extra only

    table = Table(**form)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left", no_wrap=not place)
    for row in rows:
        table.add_row(*row)
    return table


def print_list(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> None:
    """Print each row's first cell, and below it the others with their `headings`, in as many columns as fit."""
    names = [" ".join(heading.replace("_\n", "_").split()) for heading in headings]
    label = max(map(len, names))
    cell = label + len(_GAP) + max((len(text) for row in rows for text in row[1:]), default=0)
    columns = max(1, (width - len(_GAP)) // (cell + len(_GAP)))
    for name, *texts in rows:
        print_line(f"\n{_GAP}{name}".rstrip())
        cells = [f"{title:{label}}{_GAP}{text}" for title, text in zip(names, texts, strict=True)]
        for place in range(0, len(cells), columns):
            print_line(_GAP * 2 + _GAP.join(f"{each:{cell}}" for each in cells[place : place + columns]).rstrip())
