"""A progress counter on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

_REFRESH_SECONDS: Final = 0.5


class ProgressCounter:
    """Counts on standard error how many `noun` were read, out of at most `total`; prints nothing without a terminal."""

    def __init__(self, total: int, noun: str = "dead letters") -> None:
        self._total, self._noun = total, noun
        self._count = 0
        self._printed_at = time.monotonic()
        self._visible = False
        self._on_terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        """Start counting."""
        return self

    def __exit__(self, *_: object) -> None:
        """Erase the line."""
        self.clear()

    def advance(self) -> None:
        """Count one record."""
        self._count += 1
        if self._on_terminal and time.monotonic() - self._printed_at >= _REFRESH_SECONDS:
            self._printed_at, self._visible = time.monotonic(), True
            sys.stderr.write(f"\r{self._count:,} of at most {self._total:,} {self._noun} read")
            sys.stderr.flush()

    def clear(self) -> None:
        """Erase the line before other output."""
        if self._visible:
            self._visible = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
