"""Boxes and arrows of the drawn pictures."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

_FONT = "font-family='ui-sans-serif, system-ui, sans-serif'"
_COLOURS = {"topic": ("#fff4d6", "#b7791f"), "room": ("#e6f0ff", "#2b6cb0"), "outside": ("#f4f4f5", "#71717a")}
_TIP = (
    "<defs><marker id='tip' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' orient='auto'>"
    "<path d='M0,0 L10,5 L0,10 z' fill='#52525b'/></marker></defs>"
)


def box(x: int, y: int, width: int, height: int, kind: str, title: str, *lines: str) -> str:
    """Draw a box with a title and smaller lines below."""
    fill, edge = _COLOURS[kind]
    middle = x + width // 2
    top = y + height // 2 - 8 * len(lines) + 5
    parts = [f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='8' fill='{fill}' stroke='{edge}'/>"]
    parts.append(
        f"<text x='{middle}' y='{top}' text-anchor='middle' font-size='14' font-weight='600'>{escape(title)}</text>"
    )
    for number, line in enumerate(lines, 1):
        parts.append(
            f"<text x='{middle}' y='{top + 17 * number}' text-anchor='middle' font-size='11.5' fill='#3f3f46'>"
            f"{escape(line)}</text>"
        )
    return "".join(parts)


def frame(x: int, y: int, width: int, height: int, title: str) -> str:
    """Draw the border of what belongs together, with its name at the top left."""
    return (
        f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='12' fill='none' stroke='#a1a1aa' "
        f"stroke-dasharray='6 4'/>"
        f"<text x='{x + 14}' y='{y + 21}' font-size='12.5' fill='#52525b'>{escape(title)}</text>"
    )


def arrow(points: str, label: str = "", x: int = 0, y: int = 0) -> str:
    """Draw an arrow along `points`, with a label."""
    line = f"<polyline points='{points}' fill='none' stroke='#52525b' stroke-width='1.6' marker-end='url(#tip)'/>"
    text = f"<text x='{x}' y='{y}' font-size='11.5' fill='#52525b' text-anchor='middle'>{escape(label)}</text>"
    return line + (text if label else "")


def picture(width: int, height: int, description: str, *parts: str) -> str:
    """Return an SVG document of these parts, in their order."""
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {_FONT} role='img' "
        f"aria-label={quoteattr(description)}>\n"
        f"<rect width='{width}' height='{height}' fill='white'/>{_TIP}\n{body}\n</svg>\n"
    )
