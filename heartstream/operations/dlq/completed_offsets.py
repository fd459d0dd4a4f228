"""Which offsets of a partition are completed, in a form that a committed offset of a consumer group can store.

A filter redrives some letters and skips others, so one offset is not enough. The metadata of the committed offset holds
the rest: the completed ranges past the offset.
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

_FORMAT: Final = "runs1:"
_MAX_METADATA_CHARS: Final = 4_000
"""Kafka's `offset.metadata.max.bytes` is 4096 by default."""


class CompletedOffsets:
    """One partition: all offsets below `offset` are completed, and so are the ranges above it."""

    def __init__(self, offset: int, ranges: list[tuple[int, int]] | None = None) -> None:
        self.offset = offset
        self._ranges = ranges or []

    def __contains__(self, offset: int) -> bool:
        """Return whether `offset` is completed."""
        index = bisect_right(self._ranges, offset, key=lambda range_: range_[0])
        return offset < self.offset or (index > 0 and offset < self._ranges[index - 1][1])

    def add(self, first: int, stop: int) -> None:
        """Mark the offsets from `first` to before `stop` as completed."""
        first = max(first, self.offset)
        if first >= stop:
            return
        left = bisect_left(self._ranges, first, key=lambda range_: range_[1])
        right = bisect_right(self._ranges, stop, key=lambda range_: range_[0])
        touching = [(first, stop), *self._ranges[left:right]]
        self._ranges[left:right] = [(min(range_[0] for range_ in touching), max(range_[1] for range_ in touching))]
        if self._ranges[0][0] <= self.offset:
            self.offset = self._ranges.pop(0)[1]

    def copy(self) -> CompletedOffsets:
        """Return a copy."""
        return CompletedOffsets(self.offset, self._ranges.copy())

    def encode(self) -> str:
        """Return the metadata to commit with the offset."""
        if not self._ranges:
            return ""
        edges = [self.offset, *chain.from_iterable(self._ranges)]
        steps = [after - before for before, after in pairwise(edges)]
        return _FORMAT + base64.b64encode(zlib.compress(msgspec.msgpack.encode(steps), 9)).decode()

    def fits(self) -> bool:
        """Return whether the metadata is short enough for Kafka."""
        return len(self.encode()) <= _MAX_METADATA_CHARS

    @classmethod
    def decode(cls, offset: int, text: str) -> Self:
        """Decode a committed offset. Raises DependencyError if the metadata was not written by `encode`."""
        if not text:
            return cls(offset)
        try:
            packed = zlib.decompress(base64.b64decode(text.removeprefix(_FORMAT), validate=True))
            steps = msgspec.msgpack.decode(packed, type=list[int])
        except (binascii.Error, zlib.error, msgspec.MsgspecError) as error:
            raise DependencyError("the offset metadata of the redrive group was not written by heartstream") from error
        edges = list(accumulate(steps, initial=offset))[1:]
        return cls(offset, list(zip(edges[::2], edges[1::2], strict=True)))
