"""How names of columns and words for codes are compared."""

from __future__ import annotations

import re
from typing import Final

_PUNCTUATION: Final = re.compile(r"[\W_]+")


def normalized(text: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return _PUNCTUATION.sub("", text.casefold())
