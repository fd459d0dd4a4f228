"""Scrapes workers repeatedly, and shows their statistics between two scrapes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from heartstream.monitoring.top.scrape import scrape_all
from heartstream.monitoring.top.tables import line, tables_of, text
from heartstream.monitoring.top.worker_stats import WorkerStats, group_stats, worker_stats
from schemas.errors import DependencyError

Picture = tuple[WorkerStats, tuple[WorkerStats, ...]]


def watch(urls: Sequence[str], interval: float, *, once: bool) -> None:
    """Show statistics of the workers at these URLs, every `interval` seconds until interrupted, or once.

    Raises DependencyError if none of them answers at the start.
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
    before = scrape_all(urls)
    if not any(reading.answered for reading in before):
        raise DependencyError(f"no worker answers at {', '.join(urls)}: is one running, with this telemetry port?")
    while True:
        time.sleep(interval)
        after = scrape_all(urls)
        workers = tuple(worker_stats(then, now) for then, now in zip(before, after, strict=True))
        yield group_stats(workers), workers
        # A worker that did not answer is compared with its last scrape.
        before = tuple(now if now.answered else then for then, now in zip(before, after, strict=True))


def _write(pictures: Iterator[Picture], *, once: bool) -> None:
    """Print plain text: all tables once, or one line per interval."""
    for group, workers in pictures:
        if once:
            sys.stdout.write("\n".join(text(table) for table in tables_of(group, workers)))
            return
        sys.stdout.write(line(group) + "\n")
        sys.stdout.flush()
