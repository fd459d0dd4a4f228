"""Foreign text made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with control characters, which a terminal would obey, written as escapes; line breaks stay."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
