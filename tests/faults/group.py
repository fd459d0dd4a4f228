"""The state that workers of a group share, as the acceptor of their traces tracks it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence


class Lease:
    """A partition as its owner knows it: results are confirmed up to `done`, offsets stored up to `stored`."""

    def __init__(self, start: int, former_owner: tuple[str, int] | None = None) -> None:
        self.done = self.stored = self.start = start
        self.former_owner = former_owner


class Group:
    """The shared state of all workers: each partition's committed offset, and those that may have been committed."""

    def __init__(self, records: Mapping[int, Sequence[int]], *, is_replaced: bool = False) -> None:
        """`records` are the offsets with a record, in order; the topic may have been recreated."""
        self._records = records
        self.is_replaced = is_replaced
        self.committed: dict[int, int] = {}
        self.stored: defaultdict[int, set[int]] = defaultdict(set)
        self.possible: defaultdict[int, dict[str, int]] = defaultdict(dict)
        self.confirmed: defaultdict[int, int] = defaultdict(int)
        self.owners: dict[int, tuple[str, int]] = {}
        """The last owner of a partition, and the offset at which it took over."""

    def forget(self, partition: int) -> None:
        """Reset a partition, as it belongs to a new topic."""
        for known in (self.committed, self.stored, self.possible, self.confirmed):
            known.pop(partition, None)

    def lies_between(self, partition: int, start: int, end: int) -> bool:
        """Whether a record lies between `start`, inclusive, and `end`, exclusive."""
        offsets = self._records.get(partition, ())
        place = bisect_left(offsets, start)
        return place < len(offsets) and offsets[place] < end

    def store(self, partition: int, offset: int) -> None:
        """Commit an offset."""
        self.stored[partition].add(offset)
        self.committed[partition] = max(offset, self.committed.get(partition, 0))
