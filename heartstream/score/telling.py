"""What `heartstream score` says on standard error: a bar on a terminal, and one line at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from heartstream.score.run import Watch
from heartstream.score.tally import Tally


@contextmanager
def progress_bar() -> Iterator[Watch]:
    """Draw how far the run is, its rate and the time that remains, on a terminal; draw nothing elsewhere."""
    if not sys.stderr.isatty():
        yield _unseen
        return
    try:
        from rich.console import Console  # noqa: PLC0415  # files extra only
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415  # the same
    except ModuleNotFoundError:
        yield _unseen
        return
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%  {task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def watch(done: int, total: int | None, tally: Tally) -> None:
            bar.update(
                task, completed=done, total=total, description=f"{tally.rows:,} rows, {tally.rejected:,} rejected"
            )

        yield watch


def _unseen(_done: int, _total: int | None, _tally: Tally) -> None:
    pass


def summary(tally: Tally, seconds: float) -> str:
    """Say in a line what became of the rows."""
    codes = ", ".join(f"{code} {count:,}" for code, count in sorted(tally.codes.items()))
    told = f" ({codes})" if codes else ""
    rate = tally.rows / max(seconds, 1e-9)
    return f"{tally.rows:,} rows, {tally.scored:,} scored, {tally.rejected:,} rejected{told}, {rate:,.0f} rows/s"
