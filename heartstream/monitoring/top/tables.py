"""The figures as text: a line, or sheets of rows, which a terminal and a pipe show each in its way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from heartstream.monitoring.top.scrape import NO_ANSWER
from heartstream.monitoring.top.worker_stats import Figures, PartitionLag

_ROWS: Final = 12
"""Partitions and codes that are shown: the worst come first."""
_GAP: Final = 2
_WORDS: Final = 16
"""Characters that a column of words needs at least."""
_DISPENSABLE: Final = ("outstanding", "rebalances", "confirmed", "batch", "p50", "oldest")
_UNITS: Final = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))


class Sheet(msgspec.Struct, frozen=True):
    """Rows of text under headings; the first column stands left, the others right, but for the last where `words`."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False


def line(group: Figures) -> str:
    """Tell a group on one line."""
    worst = max(group.lags, key=lambda lag: (lag.records, lag.seconds), default=None)
    letters = ",".join(f"{code}={count:.0f}" for code, count in _most(group.letters)) or "none"
    told = [
        time.strftime("%H:%M:%S"),
        group.state,
        f"scored {group.scored:.0f}/s",
        f"rejected {group.rejected:.0f}/s",
        f"lag {group.lag}",
        f"oldest {span(group.oldest)}",
        f"p50 {span(group.quantile(0.5))}",
        f"p99 {span(group.quantile(0.99))}",
        f"batch {number(group.batch)}",
        f"outstanding {group.outstanding}",
        f"rebalances {group.rebalances}",
        f"dead letters {letters}",
    ]
    if worst is not None and worst.records:
        told.append(f"worst {worst.topic}[{worst.partition}] {worst.records}, {span(worst.seconds)}")
    return "  ".join(told)


def sheets(group: Figures, workers: Sequence[Figures]) -> tuple[Sheet, ...]:
    """Tell a group in full; a sheet without rows is left out."""
    return tuple(sheet for sheet in (_workers(group, workers), _lags(group), _letters(group)) if sheet.rows)


def fitting(sheet: Sheet, width: int) -> Sheet:
    """Leave out what can be done without until the sheet is no wider than this, if it can be."""
    for heading in _DISPENSABLE:
        if sum(_width(sheet, column) + _GAP for column in range(len(sheet.headings))) <= width:
            break
        if heading in sheet.headings:
            gone = sheet.headings.index(heading)
            headings, *rows = ((*row[:gone], *row[gone + 1 :]) for row in (sheet.headings, *sheet.rows))
            sheet = Sheet(sheet.title, headings, tuple(rows), sheet.words)
    return sheet


def _width(sheet: Sheet, column: int) -> int:
    """Return how wide a column must be; words may be broken into lines."""
    width = max(len(row[column]) for row in (sheet.headings, *sheet.rows))
    return min(width, _WORDS) if sheet.words and column == len(sheet.headings) - 1 else width


def _workers(group: Figures, workers: Sequence[Figures]) -> Sheet:
    headings = ("worker", "scored/s", "rejected/s", "lag", "oldest", "p50", "p99", "batch", "outstanding", "confirmed")
    shown = [*workers, group] if len(workers) > 1 else workers
    rows = tuple(_worker_row(figures) for figures in shown)
    return Sheet("workers", (*headings, "rebalances", "state"), rows, words=True)


def _worker_row(figures: Figures) -> tuple[str, ...]:
    if figures.state == NO_ANSWER:
        return (figures.name, *["-"] * 10, figures.state)
    return (
        figures.name,
        number(figures.scored),
        number(figures.rejected),
        number(figures.lag),
        span(figures.oldest),
        span(figures.quantile(0.5)),
        span(figures.quantile(0.99)),
        number(figures.batch),
        number(figures.outstanding),
        "-" if figures.idle is None else f"{span(figures.idle)} ago",
        number(figures.rebalances),
        figures.state,
    )


def _lags(group: Figures) -> Sheet:
    worst = sorted(group.lags, key=lambda lag: (-lag.records, -lag.seconds, lag.topic, lag.partition))
    rows = [_lag_row(lag) for lag in worst[:_ROWS]]
    rest = worst[_ROWS:]
    if rest:
        records, oldest = sum(lag.records for lag in rest), max(lag.seconds for lag in rest)
        rows.append((f"{len(rest)} more", number(records), span(oldest), ""))
    return Sheet("lag", ("partition", "records", "oldest", "worker"), tuple(rows), words=True)


def _lag_row(lag: PartitionLag) -> tuple[str, ...]:
    return (f"{lag.topic}[{lag.partition}]", number(lag.records), span(lag.seconds), lag.worker)


def _letters(group: Figures) -> Sheet:
    rows = [(code, number(count), f"{group.letter_rates[code]:.1f}") for code, count in _most(group.letters)[:_ROWS]]
    return Sheet("dead letters", ("code", "since start", "per second"), tuple(rows))


def _most(letters: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(letters.items(), key=lambda letter: (-letter[1], letter[0]))


def number(value: float | None) -> str:
    """Write a number with its thousands apart; a small one with one decimal."""
    if value is None:
        return "-"
    return f"{value:.1f}" if 0 < value < 10 and value != round(value) else f"{value:,.0f}"  # noqa: PLR2004  # two digits


def span(seconds: float | None) -> str:
    """Write a time in the unit that suits it, with two digits or so."""
    if seconds is None:
        return "-"
    if seconds < 0.001:  # noqa: PLR2004  # a millisecond
        return "0 s" if seconds <= 0 else "<1 ms"
    scale, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    shown = seconds / scale
    return f"{shown:.1f} {unit}" if shown < 10 else f"{shown:.0f} {unit}"  # noqa: PLR2004  # two digits


def text(sheet: Sheet) -> str:
    """Write a sheet as aligned columns, for a pipe."""
    rows = [sheet.headings, *sheet.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(sheet.headings))]
    last = len(widths) - 1
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 or (sheet.words and column == last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"
