"""Reports as one HTML file that asks for nothing else, in light and dark, and on paper."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from schemas.errors import DependencyError

FEW: Final = 5
"""Fewer records than this are not told apart: they might point at a patient."""
_STYLE: Final = Path(__file__).with_name("page.css")


def write_page(path: Path, title: str, content: str) -> None:
    """Write a page; `title` is plain text, `content` HTML. Raises DependencyError."""
    try:
        path.write_text(as_page(title, content), encoding="utf-8")
    except OSError as error:
        raise DependencyError(f"cannot write {path}: {error.strerror}") from error


def as_page(title: str, content: str) -> str:
    """Return a page. The same content gives the same bytes."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head><body><main>"
        f"{content}</main></body></html>\n"
    )


def drawn(records: int) -> float:
    """Draw a few records as half of the fewest that are told."""
    return FEW / 2 if 0 < records < FEW else records


def share_of(records: int, everything: int) -> str:
    """Write a share in whole percent, and a few records as that."""
    return f"fewer than {FEW}" if 0 < records < FEW else f"{records / max(everything, 1):.0%}"
