"""The lines of a file as records. They become objects only where one is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import overload


class Lines(Sequence[bytes]):
    """The lines of `block`, without blank ones."""

    def __init__(self, block: bytes) -> None:
        self.block = block

    @cached_property
    def _lines(self) -> list[bytes]:
        return [line for line in self.block.split(b"\n") if line.strip()]

    def __len__(self) -> int:
        """Count the lines."""
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """Return one line, or some."""
        return self._lines[index]

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines."""
        return iter(self._lines)
