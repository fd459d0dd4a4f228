"""The laws that hold after each change at the broker, and at the end of a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tests.simulation.cluster import Cluster
from tests.simulation.logs import COMMITTED, Entry
from tests.simulation.worker import DEAD_LETTERS, PATIENTS, SCORES

_Place = tuple[str, int]


class LawBrokenError(Exception):
    """A law is violated; the text has the law and the place."""


class Laws:
    """Observes the broker. Under exactly-once, results and offsets must agree at all times."""

    def __init__(self, cluster: Cluster, *, may_repeat: bool) -> None:
        self._cluster = cluster
        self._may_repeat = may_repeat
        self._results: dict[tuple[int, int], int] = {}
        self._prefix: dict[int, int] = {}
        self._committed: dict[_Place, int] = {}
        self.repeats = 0
        self.broken: str | None = None
        cluster.on_appended = self._guarded(self._appended)
        cluster.group.on_committed = self._guarded(self._stored)
        cluster.transactions.on_ended = self._ended

    def _guarded(self, look: Callable[..., None]) -> Callable[..., None]:
        def guarded(what: object) -> None:
            try:
                look(what)
            except LawBrokenError as error:
                self.broken = self.broken or str(error)

        return guarded

    def _ended(self, entries: list[Entry], offsets: Mapping[_Place, tuple[int, str]]) -> None:
        self._guarded(self._appended)(entries)
        self._guarded(self._stored)(offsets)
        self._guarded(self._torn)({place_of(entry)[0] for entry in entries})

    def _appended(self, entries: Iterable[Entry]) -> None:
        """No result is repeated, unless the guarantee allows it."""
        for entry in entries:
            place = place_of(entry)
            count = self._results[place] = self._results.get(place, 0) + 1
            if count > 1:
                self.repeats += 1
                if not self._may_repeat:
                    raise LawBrokenError(f"duplicate: partition {place[0]} offset {place[1]} has a second result")

    def _stored(self, offsets: Mapping[_Place, tuple[int, str]]) -> None:
        """Every record below a committed offset has a visible result, and the offset never decreases."""
        for tp, (offset, _) in offsets.items():
            before, self._committed[tp] = self._committed.get(tp, 0), offset
            if self.done_to(tp[1]) < offset:
                raise LawBrokenError(
                    f"lost: partition {tp[1]} is committed to {offset}, and done to {self.done_to(tp[1])}"
                )
            if offset < before:
                raise LawBrokenError(f"set back: partition {tp[1]} was committed to {before}, now to {offset}")

    def _torn(self, partitions: Iterable[int]) -> None:
        """Results are committed together with the offset behind their records."""
        for partition in partitions:
            committed = self._committed.get((PATIENTS, partition), 0)
            if (beyond := max((at for of, at in self._results if of == partition), default=-1)) >= committed:
                raise LawBrokenError(
                    f"torn: partition {partition} has a result for {beyond} and is committed to {committed}"
                )

    def done_to(self, partition: int) -> int:
        """Return the offset up to which every record has a result."""
        entries = self._cluster.topics.logs[PATIENTS, partition].entries
        place = self._prefix.get(partition, 0)
        while place < len(entries) and (entries[place].value is None or (partition, place) in self._results):
            place += 1
        self._prefix[partition] = place
        return place

    def is_done(self) -> bool:
        """Whether every record has a result and is committed."""
        offsets = self._cluster.group.offsets
        for (topic, partition), log in self._cluster.topics.logs.items():
            end = len(log.entries)
            committed = offsets.get((topic, partition), (0, ""))[0]
            if topic == PATIENTS and end and not committed == self.done_to(partition) == end:
                return False
        return True

    def check_order(self) -> None:
        """For each key, first results are in the order of their records."""
        for (topic, number), log in self._cluster.topics.logs.items():
            if topic not in {SCORES, DEAD_LETTERS}:
                continue
            seen: set[tuple[int, int]] = set()
            last: dict[tuple[bytes | None, int], int] = {}
            for entry in log.entries:
                if entry.state != COMMITTED or entry.value is None:
                    continue
                partition, offset = place = place_of(entry)
                if place in seen:
                    continue
                seen.add(place)
                if last.get((entry.key, partition), -1) > offset:
                    self.broken = self.broken or (
                        f"reordered: {topic} {number} has partition {partition} offset {offset} behind a later one"
                    )
                last[entry.key, partition] = offset


def place_of(entry: Entry) -> tuple[int, int]:
    """Return the partition and offset of the record of a result or dead letter."""
    partition, _, offset = (entry.value or b"").partition(b"@")[0].partition(b"/")
    return int(partition), int(offset)
