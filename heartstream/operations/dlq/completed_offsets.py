"""Which letters were redriven, in a form that a consumer group's committed offset can keep.

Where letters are redriven by a filter, those between them stay, so one offset does not tell what is done. The text that
Kafka keeps beside a committed offset holds the rest: the runs of letters beyond the offset that are done.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from bisect import bisect_left, bisect_right
from itertools import accumulate, chain, pairwise
from typing import Final, Self

import msgspec

from schemas.errors import DependencyError

_FORM: Final = "runs1:"
_LARGEST_TEXT: Final = 4_000
"""Kafka's `offset.metadata.max.bytes` is 4096 by default."""


class Progress:
    """One partition: all letters before `offset` are done, and so are those in the runs beyond it."""

    def __init__(self, offset: int, runs: list[tuple[int, int]] | None = None) -> None:
        self.offset = offset
        self._runs = runs or []

    def __contains__(self, offset: int) -> bool:
        """Say whether the letter at `offset` is done."""
        place = bisect_right(self._runs, offset, key=lambda run: run[0])
        return offset < self.offset or (place > 0 and offset < self._runs[place - 1][1])

    def add(self, first: int, stop: int) -> None:
        """Note that the letters from `first` to before `stop` are done."""
        first = max(first, self.offset)
        if first >= stop:
            return
        left = bisect_left(self._runs, first, key=lambda run: run[1])
        right = bisect_right(self._runs, stop, key=lambda run: run[0])
        touching = [(first, stop), *self._runs[left:right]]
        self._runs[left:right] = [(min(run[0] for run in touching), max(run[1] for run in touching))]
        if self._runs[0][0] <= self.offset:
            self.offset = self._runs.pop(0)[1]

    def copy(self) -> Progress:
        """Return another with the same letters done."""
        return Progress(self.offset, self._runs.copy())

    def text(self) -> str:
        """Return what must be kept beside the offset."""
        if not self._runs:
            return ""
        edges = [self.offset, *chain.from_iterable(self._runs)]
        steps = [after - before for before, after in pairwise(edges)]
        return _FORM + base64.b64encode(zlib.compress(msgspec.msgpack.encode(steps), 9)).decode()

    def fits(self) -> bool:
        """Say whether Kafka keeps a text so long."""
        return len(self.text()) <= _LARGEST_TEXT

    @classmethod
    def read(cls, offset: int, text: str) -> Self:
        """Read what was kept; raises DependencyError where the text was not written by `text`."""
        if not text:
            return cls(offset)
        try:
            packed = zlib.decompress(base64.b64decode(text.removeprefix(_FORM), validate=True))
            steps = msgspec.msgpack.decode(packed, type=list[int])
        except (binascii.Error, zlib.error, msgspec.MsgspecError) as error:
            raise DependencyError("what the redrive group keeps beside its offsets is not of this program") from error
        edges = list(accumulate(steps, initial=offset))[1:]
        return cls(offset, list(zip(edges[::2], edges[1::2], strict=True)))
