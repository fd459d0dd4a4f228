"""HTML reports: one self-contained file, for light and dark screens and for print."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from schemas.errors import DependencyError

MIN_COUNT: Final = 5
"""Smaller counts are not shown: they might identify a patient."""
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


def masked_count(records: int) -> float:
    """Return a count to draw; small ones become half of the smallest that is shown."""
    return MIN_COUNT / 2 if 0 < records < MIN_COUNT else records


def masked_share(records: int, total: int) -> str:
    """Return a share in whole percent, or for a small count only that it is small."""
    return f"fewer than {MIN_COUNT}" if 0 < records < MIN_COUNT else f"{records / max(total, 1):.0%}"
