"""Draws docs/pictures/flow.svg: `python docs/pictures/make_flow.py`."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1010, 330
FONT = "font-family='ui-sans-serif, system-ui, sans-serif'"
BOX = {"topic": ("#fff4d6", "#b7791f"), "room": ("#e6f0ff", "#2b6cb0"), "outside": ("#f4f4f5", "#71717a")}


def box(x: int, y: int, width: int, height: int, kind: str, title: str, *lines: str) -> str:
    """Draw a box with a title and smaller lines below."""
    fill, edge = BOX[kind]
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


def arrow(points: str, label: str = "", x: int = 0, y: int = 0) -> str:
    """Draw an arrow along `points`, with a label."""
    line = f"<polyline points='{points}' fill='none' stroke='#52525b' stroke-width='1.6' marker-end='url(#tip)'/>"
    text = f"<text x='{x}' y='{y}' font-size='11.5' fill='#52525b' text-anchor='middle'>{escape(label)}</text>"
    return line + (text if label else "")


def boxes() -> list[str]:
    """Draw what there is."""
    return [
        box(20, 60, 130, 60, "outside", "your producer", "hospital systems"),
        box(200, 60, 130, 60, "topic", "patients", "Kafka topic"),
        box(
            400,
            30,
            200,
            120,
            "room",
            "worker",
            "Faust agent on librdkafka,",
            "batches, commits only",
            "what is confirmed",
        ),
        box(670, 20, 150, 56, "topic", "scores", "Kafka topic"),
        box(670, 104, 150, 56, "topic", "patients.dlq", "why, and the original"),
        box(870, 20, 124, 56, "outside", "your consumer"),
        box(400, 190, 200, 56, "room", "scoring core", "decode, check, score, encode"),
        box(20, 250, 130, 60, "outside", "your client", "HTTP"),
        box(200, 250, 130, 60, "room", "gateway", "POST /predict"),
        box(670, 190, 150, 56, "room", "model directory", "verified before use"),
        box(870, 190, 124, 56, "room", "training", "UCI data, MLflow"),
    ]


def arrows() -> list[str]:
    """Draw what flows."""
    return [
        arrow("150,90 196,90"),
        arrow("330,90 396,90"),
        arrow("600,70 666,48"),
        arrow("600,110 666,132"),
        arrow("820,48 866,48"),
        arrow("470,150 470,186", "bytes", 448, 172),
        arrow("530,190 530,154", "outcomes", 562, 176),
        arrow("150,280 196,280"),
        arrow("330,280 450,280 450,250", "the same code, the same bytes", 440, 300),
        arrow("670,218 604,218"),
        arrow("870,218 824,218"),
    ]


def draw() -> str:
    """Return the picture."""
    tip = (
        "<defs><marker id='tip' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' orient='auto'>"
        "<path d='M0,0 L10,5 L0,10 z' fill='#52525b'/></marker></defs>"
    )
    body = "\n".join(boxes() + arrows())
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' {FONT} role='img' "
        "aria-label='Records flow from the patients topic through the worker to the scores and dead letter topics; "
        "the gateway answers HTTP with the same scoring core.'>\n"
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>{tip}\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("flow.svg").write_text(draw(), encoding="utf-8")
