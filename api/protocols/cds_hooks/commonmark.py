"""Text in CommonMark (GitHub Flavored): whatever it contains is shown as text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_INLINE: Final = re.compile(r"[\\`*_\[\]<>&~|!$]")
_FIRST: Final = re.compile(r"^(?:[#+=-]|\d+(?=[.)]))")
"""What makes a heading, a list or a rule of a line."""
_URL: Final = re.compile(r"(?i)(?<=\bhttp:)//|(?<=\bhttps:)//|(?<=\bftp:)//|(?<=\bwww)\.")
"""What GitHub's dialect makes a link of, without brackets."""


def escaped(text: str) -> str:
    """Return CommonMark that is shown as this text, in one line."""
    line = _URL.sub(r"\\\g<0>", _INLINE.sub(r"\\\g<0>", " ".join(text.split())))
    return _FIRST.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", line)


def bullets(lines: Iterable[str]) -> str:
    """Return a list of lines, each of which is CommonMark."""
    return "\n".join(f"- {line}" for line in lines)
