"""Texts in one piece of memory, which become objects only where one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from scoring.features import Mask

Offsets = npt.NDArray[np.int64]


class TextColumn(Sequence[str]):
    """The texts of a column: `data` from `starts` to `ends` (n,), in UTF-8."""

    def __init__(
        self, data: bytes, starts: Offsets, ends: Offsets, objects: Callable[[], list[str]] | None = None
    ) -> None:
        """`objects` is a faster way to make all of them."""
        self.data, self.starts, self.ends = data, starts, ends
        self._objects = objects

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.starts)

    @cached_property
    def _texts(self) -> list[str]:
        if self._objects is not None:
            return self._objects()
        spans = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.data[start:end].decode() for start, end in spans]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return one text, or some."""
        return self._texts[index]

    def __iter__(self) -> Iterator[str]:
        """Yield the texts."""
        return iter(self._texts)

    def where(self, mask: Mask) -> TextColumn:
        """Return the texts that `mask` (n,) selects."""
        return TextColumn(self.data, self.starts[mask], self.ends[mask])
