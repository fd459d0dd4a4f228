"""What workers of a group share, as the acceptor of their traces tracks it."""

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
    """What all workers share: each partition's committed offset, and those that may have been committed unseen."""

    def __init__(self, records: Mapping[int, Sequence[int]], *, is_replaced: bool = False) -> None:
        """`records` are the offsets at which there is a record, in order; the topic may have been made again."""
        self._records = records
        self.is_replaced = is_replaced
        self.committed: dict[int, int] = {}
        self.stored: defaultdict[int, set[int]] = defaultdict(set)
        self.possible: defaultdict[int, dict[str, int]] = defaultdict(dict)
        self.confirmed: defaultdict[int, int] = defaultdict(int)
        self.owners: dict[int, tuple[str, int]] = {}
        """Who took a partition over last, and at which offset."""

    def forget(self, partition: int) -> None:
        """The partition is one of a new topic."""
        for known in (self.committed, self.stored, self.possible, self.confirmed):
            known.pop(partition, None)

    def lies_between(self, partition: int, start: int, end: int) -> bool:
        """Say whether a record lies from `start` up to, without, `end`."""
        offsets = self._records.get(partition, ())
        place = bisect_left(offsets, start)
        return place < len(offsets) and offsets[place] < end

    def store(self, partition: int, offset: int) -> None:
        """An offset is committed."""
        self.stored[partition].add(offset)
        self.committed[partition] = max(offset, self.committed.get(partition, 0))
