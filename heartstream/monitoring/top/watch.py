"""Reading again and again, and showing each time what has happened since."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from heartstream.monitoring.top.scrape import take_readings
from heartstream.monitoring.top.tables import line, sheets, text
from heartstream.monitoring.top.worker_stats import Figures, group_figures, worker_figures
from schemas.errors import DependencyError

Picture = tuple[Figures, tuple[Figures, ...]]


def watch(urls: Sequence[str], interval: float, *, once: bool) -> None:
    """Show what the workers at these URLs do, every `interval` seconds until interrupted, or once.

    Raises DependencyError if none of them answers at the beginning.
    """
    pictures = _pictures(urls, interval)
    if not sys.stdout.isatty():
        _write(pictures, once=once)
        return
    from heartstream.monitoring.top import live  # noqa: PLC0415  # rich, where it is needed

    if once:
        live.show_once(*next(pictures))
    else:
        live.show(pictures)


def _pictures(urls: Sequence[str], interval: float) -> Iterator[Picture]:
    before = take_readings(urls)
    if not any(reading.answered for reading in before):
        raise DependencyError(
            f"nothing answers at {', '.join(urls)}: is a worker running, and its telemetry port right?"
        )
    while True:
        time.sleep(interval)
        after = take_readings(urls)
        workers = tuple(worker_figures(then, now) for then, now in zip(before, after, strict=True))
        yield group_figures(workers), workers
        # A worker that did not answer is compared with what it said last.
        before = tuple(now if now.answered else then for then, now in zip(before, after, strict=True))


def _write(pictures: Iterator[Picture], *, once: bool) -> None:
    """Write plain text: everything once, or a line each time."""
    for group, workers in pictures:
        if once:
            sys.stdout.write("\n".join(text(sheet) for sheet in sheets(group, workers)))
            return
        sys.stdout.write(line(group) + "\n")
        sys.stdout.flush()
