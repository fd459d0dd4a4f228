"""Text in lines that fit a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import Final

WIDTH: Final = 80


def wrapped(text: str, first: str = "", others: str | None = None, *, width: int = WIDTH) -> list[str]:
    """Return the text in lines of at most `width` columns; a word is never broken, so a longer one has its own line.

    `first` and `others` are what the first line and the others begin with; by default all begin with `first`.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=first if others is None else others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def filled(text: str, first: str = "", others: str | None = None, *, width: int = WIDTH) -> str:
    """Return the same as one text."""
    return "\n".join(wrapped(text, first, others, width=width))
