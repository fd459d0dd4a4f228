"""Draws a Grafana dashboard's panels where they stand, from series that were asked for before."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

_COLUMNS, _CELL_WIDTH, _CELL_HEIGHT = 24, 0.42, 0.25
"""Of the grid, in inches."""
_GAP: Final = 0.04
_PAGE, _PAPER, _EDGE, _INK, _FAINT = "#f4f5f5", "#ffffff", "#dcdee0", "#24292e", "#70757b"
_LINES: Final = (*("#3274D9", "#56A64B", "#F2A900", "#8F3BB8", "#00A3A3", "#C15C17", "#7C8B99", "#B877D9", "#5A6E00"),)
_COLOURS: Final = {"green": "#56A64B", "yellow": "#E0A100", "red": "#E02F44", "blue": "#3274D9"}
_LEGEND_ENTRIES: Final = 12
_LETTERS_AN_INCH: Final = 17
_GAP_SECONDS: Final = 2.5
"""Between two points: more than that, and there is nothing to be drawn between them."""
_TICKS: Final = 4

Points = Sequence[tuple[float, float]]


class Series(msgspec.Struct, frozen=True):
    """A line with the name that its legend gives it, and its labels. Times are in seconds since the beginning."""

    name: str
    labels: Mapping[str, str]
    points: Points


def draw(dashboard: Mapping[str, Any], found: Mapping[int, Sequence[Series]], seconds: float) -> Figure:
    """Draw the dashboard; `found` has the series of each panel by its id."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    width, height = _COLUMNS * _CELL_WIDTH, bottom * _CELL_HEIGHT
    figure = Figure(figsize=(width, height), facecolor=_PAGE)
    for panel in dashboard["panels"]:
        box = _box(panel["gridPos"], width, height)
        if panel["type"] == "row":
            figure.text(box[0], box[1] + box[3] / 3, f"▾ {panel['title']}", size=9, weight="bold", color=_INK)
        else:
            _frame(figure, box, panel["title"])
            _KINDS[panel["type"]](figure, box, panel, found[panel["id"]], seconds)
    return figure


Box = tuple[float, float, float, float]


def _box(grid: Mapping[str, int], width: float, height: float) -> Box:
    """Return left, bottom, width and height as shares of the figure."""
    left, top = grid["x"] * _CELL_WIDTH + _GAP, height - grid["y"] * _CELL_HEIGHT - _GAP
    wide, high = grid["w"] * _CELL_WIDTH - 2 * _GAP, grid["h"] * _CELL_HEIGHT - 2 * _GAP
    return left / width, (top - high) / height, wide / width, high / height


def _frame(figure: Figure, box: Box, title: str) -> None:
    left, bottom, wide, high = box
    paper = Rectangle((left, bottom), wide, high, zorder=-1, facecolor=_PAPER, edgecolor=_EDGE, linewidth=0.7)
    paper.set_transform(figure.transFigure)
    figure.patches.append(paper)
    inches = 0.06 / figure.get_figwidth(), 0.16 / figure.get_figheight()
    figure.text(left + inches[0], bottom + high - inches[1], title, size=7.5, weight="bold", color=_INK)


def _inside(figure: Figure, box: Box, margins: tuple[float, float, float, float]) -> Axes:
    """Return axes within a box, so many inches from its left, bottom, right and top."""
    wide, high = figure.get_size_inches()
    left, bottom, right, top = margins[0] / wide, margins[1] / high, margins[2] / wide, margins[3] / high
    return figure.add_axes((box[0] + left, box[1] + bottom, box[2] - left - right, box[3] - bottom - top))


def _draw_lines(figure: Figure, box: Box, panel: Mapping[str, Any], series: Sequence[Series], seconds: float) -> None:
    ordered = sorted(series, key=lambda line: line.name)
    shown = ordered[:_LEGEND_ENTRIES]
    beside = _beside(shown, box[2] * figure.get_figwidth())
    axes = _inside(figure, box, (0.5, 0.22 + 0.13 * math.ceil(len(shown) / beside), 0.1, 0.24))
    for number, line in enumerate(ordered):
        axes.plot(*_with_gaps(line.points), color=_LINES[number % len(_LINES)], linewidth=0.9, label=line.name)
    defaults = panel["fieldConfig"]["defaults"]
    top = max((value for line in series for _, value in line.points if math.isfinite(value)), default=0.0) or 1.0
    axes.set_ylim(0, 1.12 * top)
    for step in defaults["thresholds"]["steps"][1:]:
        axes.axhline(step["value"], color=_COLOURS[step["color"]], linewidth=0.7, linestyle=(0, (4, 3)))
    _style(axes, defaults["unit"], top, seconds)
    axes.legend(
        axes.lines[: len(shown)],
        [line.name for line in shown],
        loc="upper left",
        bbox_to_anchor=(-0.02, -13 / (axes.bbox.height * 72 / figure.dpi)),
        ncols=beside,
        fontsize=5.5,
        frameon=False,
        handlelength=1.0,
        columnspacing=1.0,
        borderpad=0.0,
        labelcolor=_FAINT,
    )


def _with_gaps(points: Points) -> tuple[list[float], list[float]]:
    """Return times and values, with nothing between points that are far apart."""
    times, values = [points[0][0]], [points[0][1]]
    for (before, _), (at, value) in itertools.pairwise(points):
        if at - before > _GAP_SECONDS:
            times.append(before)
            values.append(math.nan)
        times.append(at)
        values.append(value)
    return times, values


def _beside(series: Sequence[Series], inches: float) -> int:
    """Return how many legend entries fit side by side."""
    longest = max((len(line.name) for line in series), default=1)
    return max(1, min(len(series), int(inches * _LETTERS_AN_INCH) // (longest + 6)))


def _style(axes: Axes, unit: str, top: float, seconds: float) -> None:
    axes.set_xlim(0, seconds)
    axes.set_xticks(range(0, int(seconds) + 1, 30))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{int(value) // 60}:{int(value) % 60:02}"))
    scale, _ = _scale(top, unit)
    axes.set_yticks(
        [tick * scale for tick in MaxNLocator(_TICKS).tick_values(0, top / scale) if tick <= 1.12 * top / scale]
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))
    axes.tick_params(labelsize=6, colors=_FAINT, length=0)
    axes.grid(color="#ececee", linewidth=0.6)
    axes.set_facecolor(_PAPER)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_stat(figure: Figure, box: Box, panel: Mapping[str, Any], series: Sequence[Series], seconds: float) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    left, bottom, wide, high = box
    for number, line in enumerate(series):
        x = left + wide * (number + 0.5) / len(series)
        last = next((value for _, value in reversed(line.points) if math.isfinite(value)), math.nan)
        colour = _COLOURS[_colour(defaults["thresholds"]["steps"], last)]
        figure.text(
            x,
            bottom + high * 0.5,
            written(last, defaults["unit"]),
            size=15 - 2 * len(series),
            color=colour,
            ha="center",
            va="center",
            weight="bold",
        )
        if len(series) > 1:
            figure.text(x, bottom + high * 0.26, line.name, size=5.5, color=_FAINT, ha="center", va="center")
        else:
            axes = _inside(figure, box, (0.05, 0.03, 0.05, 0.72))
            times, values = _with_gaps(line.points)
            axes.fill_between(times, values, color=colour, alpha=0.25, linewidth=0)
            axes.plot(times, values, color=colour, linewidth=0.7)
            axes.set_xlim(0, seconds)
            axes.set_ylim(bottom=0)
            axes.axis("off")


def _colour(steps: Sequence[Mapping[str, Any]], value: float) -> str:
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return str(reached[-1])


def _draw_table(figure: Figure, box: Box, _panel: Mapping[str, Any], series: Sequence[Series], _seconds: float) -> None:
    left, bottom, wide, high = box
    if not series:
        figure.text(left + wide / 2, bottom + high * 0.45, "No data", size=8, color=_FAINT, ha="center", va="center")
        return
    names = [*series[0].labels, "number"]
    rows = [names, *([*line.labels.values(), f"{line.points[-1][1]:g}"] for line in series)]
    letters = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    starts = [sum(letters[:place]) / sum(letters) for place in range(len(letters))]
    for number, row in enumerate(rows):
        y = bottom + high - (0.42 + 0.2 * number) / figure.get_figheight()
        for start, text in zip(starts, row, strict=True):
            x = left + wide * (0.02 + 0.98 * start)
            figure.text(
                x, y, text, size=6.5, color=_FAINT if number == 0 else _INK, weight="bold" if number == 0 else None
            )


def written(value: float, unit: str) -> str:
    """Write a number as Grafana does in this unit."""
    if not math.isfinite(value):
        return "-"
    scale, name = _scale(value, unit)
    gap = " " if unit in {"s", "bytes"} and name else ""
    return f"{value / scale:.3g}{gap}{name}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Return the multiple of a unit in which a number is best told, and its name."""
    scales = _SCALES[unit]
    return next((pair for pair in scales if abs(value) >= pair[0]), scales[-1]) if value else (1, "")


_SCALES: Final[Mapping[str, Sequence[tuple[float, str]]]] = {
    "s": ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "percentunit": ((0.01, "%"),),
    "short": ((1e6, "M"), (1e3, "K"), (1, "")),
}
_KINDS: Final[Mapping[str, Callable[..., None]]] = {"timeseries": _draw_lines, "stat": _draw_stat, "table": _draw_table}
