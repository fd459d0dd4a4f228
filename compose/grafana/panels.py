"""Panels of the dashboard, and helpers for their queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

RATE: Final = "[$__rate_interval]"
WORKERS: Final = 'and on (instance) heartstream_process_info{role="worker"}'
WITH_ROLE: Final = "* on (instance) group_left (role) max by (instance, role) (heartstream_process_info)"

Thresholds = Sequence[tuple[float | None, str]]


class Panel(msgspec.Struct, frozen=True):
    """A panel: each query with its legend. `thresholds` are the lower bounds of colours.

    `lowest` is the minimum of the axis, None if values may be negative.
    """

    title: str
    meaning: str
    unit: str
    queries: Sequence[tuple[str, str]]
    thresholds: Thresholds = ((None, "green"),)
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    lowest: float | None = 0


class Row(msgspec.Struct, frozen=True):
    """Panels under one heading, from left to right, wrapped at the page width."""

    title: str
    panels: Sequence[Panel]


def quantiles(buckets: str, selector: str = "", by: str = "", whose: str = "") -> list[tuple[str, str]]:
    """Return queries of the median and the 99th percentile of a histogram, for each value of a label."""
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    summed = f"sum by ({labels}) (rate({buckets}_bucket{selector}{RATE}){whose})"
    return [
        (f"histogram_quantile({share}, {summed})", f"{name}{legend}") for share, name in ((0.5, "p50"), (0.99, "p99"))
    ]


def mean(histogram: str, by: str) -> str:
    """Return the query of a histogram's mean."""
    total, count = (f"sum by ({by}) (rate({histogram}_{part}{RATE}))" for part in ("sum", "count"))
    return f"{total} / {count}"


def stat(title: str, meaning: str, unit: str, thresholds: Thresholds, *queries: tuple[str, str], width: int) -> Panel:
    """Return a panel with the last value of each query."""
    return Panel(title, meaning, unit, queries, thresholds, kind="stat", width=width, height=4)
