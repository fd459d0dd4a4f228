"""Tables and figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from training.estimates import Estimate
from training.evaluation.metrics import Performance


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, with columns of numbers to the right."""
    cells = [list(row) for row in rows]
    numbers = [all(_is_number(row[place]) for row in cells) for place in range(len(headings))]
    rule = "|" + "|".join("---:" if is_number else "---" for is_number in numbers) + "|"
    return "\n".join([_row(headings), rule, *map(_row, cells)]) + "\n"


def _is_number(cell: str) -> bool:
    return not cell or cell.startswith(("-", "+", "not estimable", "nobody")) or cell[0].isdigit()


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def ranged(found: Performance, figure: str, digits: int = 2) -> str:
    """Write a figure with its interval, or that it cannot be estimated."""
    if figure not in found.figures:
        return "not estimable"
    return interval(found.figures[figure], digits)


def interval(estimate: Estimate, digits: int = 2) -> str:
    """Write an estimate with its interval."""
    value, low, high = (
        f"{round(part, digits) + 0.0:.{digits}f}" for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def picture(path: str, says: str) -> str:
    """Return a picture with the text for those who cannot see it."""
    return f"![{says}]({path})\n"


def pictures_of(folder: str | None, *shown: tuple[str, str]) -> Iterator[str]:
    """Yield pictures of a folder, each a name with its text; none without a folder."""
    if folder is not None:
        yield from (picture(f"{folder}/{name}.svg", says) for name, says in shown)
