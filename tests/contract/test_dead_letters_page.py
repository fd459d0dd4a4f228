"""docs/dead-letters.md documents the codes and headers of the code."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.errors import RejectionCode
from schemas.topics import FIRST_FAILURE_HEADER, REASON_HEADERS, REDRIVE_ATTEMPTS_HEADER

PAGE = Path("docs/dead-letters.md").read_text(encoding="utf-8")


def test_every_code_is_explained() -> None:
    """The table has each code once, in the contract's order."""
    assert re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", PAGE, re.MULTILINE) == [str(code) for code in RejectionCode]


def test_every_header_is_explained() -> None:
    """The table has each header name."""
    cells = re.findall(r"^\| (`[^|]+`) \|", PAGE, re.MULTILINE)
    names = re.findall(r"`([^`]+)`", " ".join(cells))
    full = {f"__streams.errors{name}" if name.startswith(".") else name for name in names}
    assert {*REASON_HEADERS, REDRIVE_ATTEMPTS_HEADER, FIRST_FAILURE_HEADER} - full == set()
