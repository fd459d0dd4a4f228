"""Statistics as text: a summary line, and tables, which terminal and pipe render differently."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from heartstream.monitoring.top.scrape import NO_ANSWER
from heartstream.monitoring.top.worker_stats import PartitionLag, WorkerStats

_ROWS: Final = 12
"""The number of partitions and codes that are shown, worst first."""
_GAP: Final = 2
_WORDS: Final = 16
"""The minimum width of a column of words."""
_OPTIONAL_COLUMNS: Final = ("in flight", "rebalances", "confirmed", "batch", "p50", "oldest")
_UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))


class TextTable(msgspec.Struct, frozen=True):
    """A table of text. The first column is left-aligned, with `words` the last one, too; others are right-aligned."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False


def line(group: WorkerStats) -> str:
    """Return a group's statistics on one line."""
    worst = max(group.lags, key=lambda lag: (lag.records, lag.seconds), default=None)
    letters = ",".join(f"{code}={count:.0f}" for code, count in _most(group.letters)) or "none"
    parts = [
        time.strftime("%H:%M:%S"),
        group.state,
        f"scored {group.scored:.0f}/s",
        f"rejected {group.rejected:.0f}/s",
        f"lag {group.lag}",
        f"oldest {format_duration(group.oldest)}",
        f"p50 {format_duration(group.quantile(0.5))}",
        f"p99 {format_duration(group.quantile(0.99))}",
        f"batch {number(group.batch)}",
        f"in flight {group.in_flight}",
        f"rebalances {group.rebalances}",
        f"dead letters {letters}",
    ]
    if worst is not None and worst.records:
        parts.append(f"worst {worst.topic}[{worst.partition}] {worst.records}, {format_duration(worst.seconds)}")
    return "  ".join(parts)


def tables_of(group: WorkerStats, workers: Sequence[WorkerStats]) -> tuple[TextTable, ...]:
    """Return all tables of a group that have rows."""
    return tuple(table for table in (_workers(group, workers), _lags(group), _letters(group)) if table.rows)


def fit_width(table: TextTable, width: int) -> TextTable:
    """Drop optional columns until the table fits the width, if possible."""
    for heading in _OPTIONAL_COLUMNS:
        if sum(_width(table, column) + _GAP for column in range(len(table.headings))) <= width:
            break
        if heading in table.headings:
            dropped = table.headings.index(heading)
            headings, *rows = ((*row[:dropped], *row[dropped + 1 :]) for row in (table.headings, *table.rows))
            table = TextTable(table.title, headings, tuple(rows), table.words)
    return table


def _width(table: TextTable, column: int) -> int:
    """Return the width of a column; words may wrap."""
    width = max(len(row[column]) for row in (table.headings, *table.rows))
    return min(width, _WORDS) if table.words and column == len(table.headings) - 1 else width


def _workers(group: WorkerStats, workers: Sequence[WorkerStats]) -> TextTable:
    headings = ("worker", "scored/s", "rejected/s", "lag", "oldest", "p50", "p99", "batch", "in flight", "confirmed")
    shown = [*workers, group] if len(workers) > 1 else workers
    rows = tuple(_worker_row(figures) for figures in shown)
    return TextTable("workers", (*headings, "rebalances", "state"), rows, words=True)


def _worker_row(figures: WorkerStats) -> tuple[str, ...]:
    if figures.state == NO_ANSWER:
        return (figures.name, *["-"] * 10, figures.state)
    return (
        figures.name,
        number(figures.scored),
        number(figures.rejected),
        number(figures.lag),
        format_duration(figures.oldest),
        format_duration(figures.quantile(0.5)),
        format_duration(figures.quantile(0.99)),
        number(figures.batch),
        number(figures.in_flight),
        "-" if figures.idle is None else f"{format_duration(figures.idle)} ago",
        number(figures.rebalances),
        figures.state,
    )


def _lags(group: WorkerStats) -> TextTable:
    worst = sorted(group.lags, key=lambda lag: (-lag.records, -lag.seconds, lag.topic, lag.partition))
    rows = [_lag_row(lag) for lag in worst[:_ROWS]]
    rest = worst[_ROWS:]
    if rest:
        records, oldest = sum(lag.records for lag in rest), max(lag.seconds for lag in rest)
        rows.append((f"{len(rest)} more", number(records), format_duration(oldest), ""))
    return TextTable("lag", ("partition", "records", "oldest", "worker"), tuple(rows), words=True)


def _lag_row(lag: PartitionLag) -> tuple[str, ...]:
    return (f"{lag.topic}[{lag.partition}]", number(lag.records), format_duration(lag.seconds), lag.worker)


def _letters(group: WorkerStats) -> TextTable:
    rows = [(code, number(count), f"{group.letter_rates[code]:.1f}") for code, count in _most(group.letters)[:_ROWS]]
    return TextTable("dead letters", ("code", "since start", "per second"), tuple(rows))


def _most(letters: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(letters.items(), key=lambda letter: (-letter[1], letter[0]))


def number(value: float | None) -> str:
    """Format a number with thousands separators; a small one with one decimal."""
    if value is None:
        return "-"
    return f"{value:.1f}" if 0 < value < 10 and value != round(value) else f"{value:,.0f}"  # noqa: PLR2004  # two digits


def format_duration(seconds: float | None) -> str:
    """Format a duration in a suitable unit, with about two digits."""
    if seconds is None:
        return "-"
    if seconds < 0.001:  # noqa: PLR2004  # a millisecond
        return "0 s" if seconds <= 0 else "<1 ms"
    scale, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    shown = seconds / scale
    return f"{shown:.1f} {unit}" if shown < 10 else f"{shown:.0f} {unit}"  # noqa: PLR2004  # two digits


def text(table: TextTable) -> str:
    """Format a table as aligned columns, for a pipe."""
    rows = [table.headings, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    last = len(widths) - 1
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 or (table.words and column == last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"
