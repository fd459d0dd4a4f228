"""Text that others wrote, fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text whose control characters, which a terminal would obey, are written as escapes; lines stay lines."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
