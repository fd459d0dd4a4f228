"""How names of columns and words for codes are compared."""

from __future__ import annotations

import re
from typing import Final

_PUNCTUATION: Final = re.compile(r"[\W_]+")
_WORD_PUNCTUATION: Final = re.compile(r"[^\w+<>=≤≥]+|_+")


def normalized(text: str) -> str:
    """Return the letters and digits of a column's name, in lower case."""
    return _PUNCTUATION.sub("", text.casefold())


def normalized_word(text: str) -> str:
    """Return the letters, digits and comparisons of a word for a code, in lower case; a mere sign is unchanged."""
    return _WORD_PUNCTUATION.sub("", text.casefold()) or text.strip()
