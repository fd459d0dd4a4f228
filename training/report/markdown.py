"""Markdown tables, metrics, lists and images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from training.estimates import Estimate
from training.evaluation.metrics import Performance


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, with numeric columns right-aligned."""
    cells = [list(row) for row in rows]
    numbers = [all(_is_number(row[place]) for row in cells) for place in range(len(headings))]
    rule = "|" + "|".join("---:" if is_number else "---" for is_number in numbers) + "|"
    return "\n".join([_row(headings), rule, *map(_row, cells)]) + "\n"


def _is_number(cell: str) -> bool:
    return not cell or cell.startswith(("-", "+", "not estimable", "nobody")) or cell[0].isdigit()


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def metric_with_interval(found: Performance, figure: str, digits: int = 2) -> str:
    """Format a metric with its interval, or as not estimable."""
    if figure not in found.figures:
        return "not estimable"
    return interval(found.figures[figure], digits)


def interval(estimate: Estimate, digits: int = 2) -> str:
    """Format an estimate with its interval."""
    value, low, high = (
        f"{round(part, digits) + 0.0:.{digits}f}" for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def listed(names: Sequence[str]) -> str:
    """Join names with commas and "and"."""
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def image(path: str, alt: str) -> str:
    """Return an image with its alternative text."""
    return f"![{alt}]({path})\n"


def images(folder: str | None, *shown: tuple[str, str]) -> Iterator[str]:
    """Yield images of a folder, given by name and alternative text; none without a folder."""
    if folder is not None:
        yield from (image(f"{folder}/{name}.svg", alt) for name, alt in shown)
