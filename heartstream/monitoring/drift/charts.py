"""Two histograms side by side as SVG, and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

from heartstream.reports.html_page import masked_count, masked_share

_WIDTH, _HEIGHT, _FOOT = 560.0, 150.0, 18.0


class Bin(msgspec.Struct, frozen=True):
    """A bin: its short and full name, and its counts of training patients and records."""

    short: str
    label: str
    trained: int
    found: int


def histograms(title: str, bins: Sequence[Bin]) -> str:
    """Return both histograms as a chart of shares and as a table. `title` is plain text."""
    trained, found = (max(sum(getattr(each, name) for each in bins), 1) for name in ("trained", "found"))
    return f"{_picture(title, bins, trained, found)}{_table(title, bins, trained, found)}"


def _picture(title: str, bins: Sequence[Bin], trained: int, found: int) -> str:
    shares = [(each.trained / trained, masked_count(each.found) / found) for each in bins]
    top = max(max(pair) for pair in shares) or 1.0
    bars = "".join(_bars(place, pair, len(bins), top) for place, pair in enumerate(shares))
    labels = "".join(_label(place, each.short, len(bins)) for place, each in enumerate(bins))
    text = escape(f"{title}: shares of training patients (outlined) and of these records (filled); the table has them")
    return (
        f'<svg role="img" aria-label="{text}" viewBox="0 0 {_WIDTH:g} {_HEIGHT + _FOOT:g}">'
        f'<line class="axis" x1="0" x2="{_WIDTH:g}" y1="{_HEIGHT:g}" y2="{_HEIGHT:g}"/>{bars}{labels}</svg>'
    )


def _bars(place: int, shares: tuple[float, float], bins: int, top: float) -> str:
    slot = _WIDTH / bins
    width, left = slot * 0.38, place * slot + slot * 0.1
    heights = [share / top * (_HEIGHT - 6) for share in shares]
    return "".join(
        f'<rect class="{kind}" x="{left + step * width:.1f}" y="{_HEIGHT - height:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"/>'
        for step, (kind, height) in enumerate(zip(("trained", "found"), heights, strict=True))
    )


def _label(place: int, label: str, bins: int) -> str:
    middle = (place + 0.5) * _WIDTH / bins
    return f'<text x="{middle:.1f}" y="{_HEIGHT + _FOOT - 4:g}">{escape(label)}</text>'


def _table(title: str, bins: Sequence[Bin], trained: int, found: int) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(each.label)}</th><td>{each.trained / trained:.0%}</td>'
        f"<td>{masked_share(each.found, found)}</td></tr>"
        for each in bins
    )
    return (
        f'<table><caption>{escape(title)}</caption><thead><tr><th scope="col">value</th>'
        f'<th scope="col">training patients</th><th scope="col">these records</th></tr></thead><tbody>{rows}</tbody>'
        "</table>"
    )


def bin_names(edges: Sequence[float]) -> Iterator[str]:
    """Yield the names of the bins between edges; each includes its upper edge."""
    yield f"≤ {edges[0]:g}"
    yield from (f"≤ {edge:g}" for edge in edges[1:])
    yield f"> {edges[-1]:g}"
