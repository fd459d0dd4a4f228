"""Charts of a comparison as SVG, with the same numbers in a table where that is short."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from math import log
from typing import Final

from heartstream.monitoring.compare.differences import EDGES, STEPS, Group, ModelComparison, OutcomeComparison
from heartstream.reports.html_page import MIN_COUNT, masked_count, masked_share

_SIDE, _MARGIN = 400.0, 44.0
_CELL: Final = _SIDE / STEPS
_WIDTH, _HEIGHT, _FOOT = 560.0, 150.0, 18.0
_TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


def grid(compared: ModelComparison) -> str:
    """Draw the joint distribution of both risks: the champion's to the right, the challenger's upwards."""
    most = max(max(row) for row in compared.grid)
    cells = "".join(
        _cell(right, up, records, most)
        for right, row in enumerate(compared.grid)
        for up, records in enumerate(row)
        if records
    )
    text = "Risks of both models for the same records: on the diagonal they agree; the darker, the more records"
    line = f'<line class="axis" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
    return _square(text, f"{cells}{line}", "champion's risk", "challenger's risk")


def _cell(right: int, up: int, records: int, most: int) -> str:
    """Small counts are drawn as an outline; others by their logarithm."""
    at = f'x="{_MARGIN + right * _CELL:g}" y="{(STEPS - 1 - up) * _CELL:g}" width="{_CELL:g}" height="{_CELL:g}"'
    if records < MIN_COUNT:
        return f'<rect class="few" {at}/>'
    return f'<rect class="found" opacity="{0.15 + 0.85 * log(records) / log(max(most, MIN_COUNT + 1)):.2f}" {at}/>'


def reliability(by_outcomes: OutcomeComparison) -> str:
    """Draw the share with disease over the mean risk, one point per fifth of the outcomes."""
    line = f'<line class="axis" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
    points = _points(by_outcomes.champion_groups, "trained") + _points(by_outcomes.challenger_groups, "found")
    text = "Share with disease over mean risk, by fifths: champion outlined, challenger filled; right on the diagonal"
    return _square(text, f"{line}{points}", "mean risk", "share with disease")


def _points(groups: Sequence[Group], kind: str) -> str:
    return "".join(
        f'<circle class="{kind}" cx="{_x(group.mean_risk)}" cy="{_y(group.observed)}" r="7"/>' for group in groups
    )


def _square(text: str, content: str, right: str, up: str) -> str:
    ticks = "".join(
        f'<text x="{_x(tick)}" y="{_SIDE + 16:g}">{tick:g}</text>'
        f'<text x="{_MARGIN - 20:g}" y="{_y(tick)}">{tick:g}</text>'
        for tick in _TICKS
    )
    middle = _SIDE / 2
    return (
        f'<svg role="img" aria-label="{escape(text)}" viewBox="0 -10 {_SIDE + _MARGIN + 20:g} {_SIDE + _MARGIN + 4:g}">'
        f'<rect class="frame" x="{_MARGIN:g}" y="0" width="{_SIDE:g}" height="{_SIDE:g}"/>{content}{ticks}'
        f'<text x="{_MARGIN + middle:g}" y="{_SIDE + 32:g}">{right}</text>'
        f'<text transform="translate(10 {middle:g}) rotate(-90)">{up}</text></svg>'
    )


def _x(risk: float) -> str:
    return f"{_MARGIN + risk * _SIDE:.1f}"


def _y(risk: float) -> str:
    return f"{(1 - risk) * _SIDE:.1f}"


def differences(compared: ModelComparison) -> str:
    """Return the differences of risks as a chart and as a table."""
    names = [
        f"lower by over {-EDGES[0]:g}",
        *(_between(low, high) for low, high in pairwise(EDGES)),
        f"higher by over {EDGES[-1]:g}",
    ]
    counts, slot = compared.differences, _WIDTH / len(compared.differences)
    top = max(counts) or 1
    bars = "".join(
        f'<rect class="found" x="{place * slot + slot * 0.1:.1f}" y="{_HEIGHT - _high(count, top):.1f}" '
        f'width="{slot * 0.8:.1f}" height="{_high(count, top):.1f}"/>'
        for place, count in enumerate(counts)
    )
    edges = "".join(
        f'<text x="{(place + 1) * slot:.1f}" y="{_HEIGHT + _FOOT - 4:g}">{edge:+g}</text>'
        for place, edge in enumerate(EDGES)
    )
    text = "How many records' risks the challenger puts lower (left) and higher (right); the table has the shares"
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{masked_share(count, compared.records)}</td></tr>'
        for name, count in zip(names, counts, strict=True)
    )
    return (
        f'<svg role="img" aria-label="{text}" viewBox="0 0 {_WIDTH:g} {_HEIGHT + _FOOT:g}">'
        f'<line class="axis" x1="0" x2="{_WIDTH:g}" y1="{_HEIGHT:g}" y2="{_HEIGHT:g}"/>{bars}{edges}</svg>'
        "<table><caption>Challenger's risk minus champion's</caption><thead><tr><th scope=\"col\">the risk is</th>"
        f'<th scope="col">records</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _high(count: int, top: int) -> float:
    return masked_count(count) / top * (_HEIGHT - 6)


def _between(low: float, high: float) -> str:
    if low < 0 < high:
        return f"equal within {high:g}"
    return f"lower by {-high:g} to {-low:g}" if high < 0 else f"higher by {low:g} to {high:g}"
