"""What `heartstream score` prints on standard error: a progress bar on a terminal, and a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from heartstream.files.score import ProgressCallback
from heartstream.files.tally import Tally


class Throughput:
    """Rows per second since the first call: rows of an interrupted run do not count."""

    def __init__(self) -> None:
        self._began: tuple[float, int] | None = None

    def rows_per_s(self, tally: Tally) -> float:
        """Return the mean rate so far."""
        now = time.monotonic()
        since, rows = self._began = self._began or (now, tally.rows)
        return (tally.rows - rows) / max(now - since, 1e-9)


@contextmanager
def progress_bar(throughput: Throughput | None = None) -> Iterator[ProgressCallback]:
    """Show progress, rate and remaining time on a terminal; show nothing elsewhere."""
    throughput = throughput or Throughput()

    def measure(_done: int, _total: int | None, tally: Tally) -> None:
        throughput.rows_per_s(tally)

    if not sys.stderr.isatty():
        yield measure
        return
    try:
        from rich.console import Console  # noqa: PLC0415  # files extra only
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415  # the same
    except ModuleNotFoundError:
        yield measure
        return
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%  {task.description}"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)

    def show(done: int, total: int | None, tally: Tally) -> None:
        # Its thread must not run while scoring processes are forked: by the first call, they all are.
        bar.start()
        counts = f"{tally.rows:,} rows, {tally.rejected:,} rejected, {throughput.rows_per_s(tally):,.0f} rows/s"
        bar.update(task, completed=done, total=total, description=counts)

    try:
        yield show
    finally:
        bar.stop()


def summary(tally: Tally, rows_per_s: float) -> str:
    """Return the one-line summary of a run."""
    codes = f" ({_counts(tally.codes)})" if tally.codes else ""
    missing = f", cells read as not measured: {_counts(tally.missing)}" if tally.missing else ""
    blank = f", {tally.blank_rows:,} empty rows skipped" if tally.blank_rows else ""
    encoding = "; --encoding names the encoding of a file that is not UTF-8" if "not_utf8" in tally.codes else ""
    return (
        f"{tally.rows:,} rows, {tally.scored:,} scored, {tally.rejected:,} rejected{codes}{missing}{blank}, "
        f"{rows_per_s:,.0f} rows/s{encoding}"
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
