"""Shows on a terminal how much was read, while that takes its time."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

_EVERY_SECONDS: Final = 0.5


class Meter:
    """A count on standard error, of `what` was read out of at most `size`. Says nothing where that is no terminal."""

    def __init__(self, size: int, what: str = "letters") -> None:
        self._size, self._what = size, what
        self._count = 0
        self._told = time.monotonic()
        self._visible = False
        self._on_terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no trace."""
        self.clear()

    def seen(self) -> None:
        """Count one."""
        self._count += 1
        if self._on_terminal and time.monotonic() - self._told >= _EVERY_SECONDS:
            self._told, self._visible = time.monotonic(), True
            sys.stderr.write(f"\r{self._count:,} of at most {self._size:,} {self._what} read")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for other lines."""
        if self._visible:
            self._visible = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
