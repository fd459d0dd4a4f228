"""The ledger tracks which offsets may be committed. It is the only place that decides this.

For each partition it keeps the batches in flight, in order. The committable offset is the end of the longest prefix of
records that all have a confirmed score or dead letter; nothing else is ever committed. Offsets without a record
(transaction markers, aborted or compacted records) belong to that prefix once the client has read past them. The
consumer thread (reads and commits) and the event loop (scores) share it: each method holds one lock briefly, except
`wait_idle`, which blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from faust.types import TP

from worker.kafka.batch import BatchState, PartitionAssignment, RecordBatch


class Ledger:
    """Tracks batches from reading to confirmation. Batches of an ended assignment have no further effect."""

    def __init__(self) -> None:
        """Start without partitions."""
        self.commit_metadata = ""
        """Metadata committed with each offset: the ID of its topic. Set by the consumer thread."""
        self._changed = threading.Condition()
        self._assignments: dict[TP, PartitionAssignment] = {}
        self._entered = self._latest_finished = 0

    def owned(self) -> set[TP]:
        """Return the partitions that this worker owns."""
        with self._changed:
            return set(self._assignments)

    def assign(self, tps: Iterable[TP], committed: Mapping[TP, int] | None = None) -> None:
        """Start a new assignment of each partition; `committed` has the offsets that are already committed."""
        known = committed or {}
        with self._changed:
            self._assignments.update((tp, PartitionAssignment(tp, known.get(tp))) for tp in tps)

    def assignment(self, tp: TP) -> PartitionAssignment | None:
        """Return the current assignment of a partition, if it still accepts batches."""
        with self._changed:
            assignment = self._assignments.get(tp)
            return assignment if assignment is not None and assignment.open else None

    def add(self, batch: RecordBatch) -> None:
        """Add a batch that was read, in the order of its partition."""
        with self._changed:
            self._entered += 1
            batch.number = self._entered
            batch.assignment.batches.append(batch)
            batch.assignment.end = None

    def reached_end(self, tp: TP, offset: int) -> None:
        """Record that the client has read a partition up to its end, `offset`. All earlier records were added."""
        with self._changed:
            assignment = self._assignments.get(tp)
            if assignment is None or not assignment.open:
                return
            read_to = assignment.batches[-1].next_offset if assignment.batches else assignment.finished_to or 0
            if offset >= read_to:
                assignment.end = offset
                _advance(assignment)

    def start(self, batch: RecordBatch) -> bool:
        """Claim a batch for scoring; False if its partition is no longer owned."""
        with self._changed:
            if batch.state is not BatchState.WAITING or not batch.assignment.open:
                return False
            if next(other for other in batch.assignment.batches if other.state is BatchState.WAITING) is not batch:
                raise AssertionError("a batch was skipped: its partition's records would be lost")
            batch.state = BatchState.STARTED
            return True

    def finish(self, batch: RecordBatch) -> None:
        """Record that every record of a started batch has a confirmed result."""
        with self._changed:
            batch.state = BatchState.FINISHED
            self._latest_finished = max(self._latest_finished, batch.number)
            _advance(batch.assignment)
            self._changed.notify_all()

    def take_committable(self) -> dict[TP, int]:
        """Return the committable offsets that have not been requested to be committed yet."""
        with self._changed:
            due = {
                tp: assignment.finished_to
                for tp, assignment in self._assignments.items()
                if assignment.finished_to is not None and assignment.finished_to != assignment.requested
            }
            for tp, offset in due.items():
                self._assignments[tp].requested = offset
            return due

    def committed(self) -> dict[TP, int]:
        """Return the committed offsets of owned partitions without a commit in flight."""
        with self._changed:
            return {
                tp: assignment.committed
                for tp, assignment in self._assignments.items()
                if assignment.open
                and assignment.committed is not None
                and assignment.requested in {None, assignment.committed}
            }

    def uncommitted(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return the committable offsets of these partitions that are not known to be committed."""
        with self._changed:
            assignments = [self._assignments[tp] for tp in self._assignments.keys() & set(tps)]
            return {
                assignment.tp: assignment.finished_to
                for assignment in assignments
                if assignment.finished_to is not None and assignment.finished_to != assignment.committed
            }

    def committable_when_idle(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return offsets like `uncommitted`, but only of partitions with nothing in flight."""
        with self._changed:
            assignments = [self._assignments[tp] for tp in self._assignments.keys() & set(tps)]
            return {
                assignment.tp: assignment.finished_to
                for assignment in assignments
                if not assignment.batches
                and assignment.finished_to is not None
                and (assignment.committed is None or assignment.finished_to > assignment.committed)
            }

    def committable_with(self, batch: RecordBatch) -> int:
        """Return the committable offset once this batch and all before it are finished."""
        with self._changed:
            assignment = batch.assignment
            is_last = bool(assignment.batches) and assignment.batches[-1] is batch
            return assignment.end if is_last and assignment.end is not None else batch.next_offset

    def mark_committed(self, offsets: Mapping[TP, int]) -> None:
        """Record that these offsets are committed."""
        with self._changed:
            for tp in self._assignments.keys() & offsets.keys():
                self._assignments[tp].committed = offsets[tp]

    def mark_uncommitted(self, offsets: Mapping[TP, int]) -> None:
        """Record that the commit of these offsets failed: they are due again."""
        with self._changed:
            for tp in self._assignments.keys() & offsets.keys():
                if self._assignments[tp].requested == offsets[tp]:
                    self._assignments[tp].requested = None

    def ends(self) -> dict[TP, int]:
        """Return the end offsets of the owned partitions that have been read to the end."""
        with self._changed:
            return {tp: assignment.end for tp, assignment in self._assignments.items() if assignment.end is not None}

    def progress(self) -> dict[TP, int | None]:
        """Return the end of the finished prefix of each owned partition; None if nothing is finished yet."""
        with self._changed:
            return {tp: assignment.finished_to for tp, assignment in self._assignments.items()}

    def oldest(self, tp: TP) -> RecordBatch | None:
        """Return the oldest batch in flight on an owned partition, None if there is none."""
        with self._changed:
            assignment = self._assignments.get(tp)
            return assignment.batches[0] if assignment is not None and assignment.batches else None

    def is_overtaken(self, tp: TP) -> bool:
        """Whether a batch read after the partition's oldest batch in flight has finished before it."""
        oldest = self.oldest(tp)
        return oldest is not None and oldest.number < self._latest_finished

    def in_flight(self) -> tuple[int, int]:
        """Return the number of batches, and of their records, that are being scored or await confirmation."""
        with self._changed:
            started = [
                len(batch)
                for assignment in self._assignments.values()
                for batch in assignment.batches
                if batch.state is BatchState.STARTED
            ]
            return len(started), sum(started)

    def owns(self, batch: RecordBatch) -> bool:
        """Whether a batch's assignment has not ended: its partition is owned, or just being revoked."""
        with self._changed:
            return self._assignments.get(batch.tp) is batch.assignment

    def any_waiting(self) -> bool:
        """Whether a batch that was read has not been started."""
        with self._changed:
            return any(
                assignment.batches and assignment.batches[-1].state is BatchState.WAITING
                for assignment in self._assignments.values()
            )

    def any_started(self) -> bool:
        """Whether any batch is started and unconfirmed."""
        with self._changed:
            return any(
                batch.state is BatchState.STARTED
                for assignment in self._assignments.values()
                for batch in assignment.batches
            )

    def close(self, tps: Iterable[TP]) -> None:
        """Accept no more batches of these partitions, and drop those that were not started."""
        with self._changed:
            for tp in self._assignments.keys() & set(tps):
                assignment = self._assignments[tp]
                assignment.open = False
                while assignment.batches and assignment.batches[-1].state is BatchState.WAITING:
                    assignment.batches.pop().state = BatchState.DROPPED
                    assignment.end = None
            self._changed.notify_all()

    def wait_idle(self, tps: Iterable[TP], timeout: float) -> bool:
        """Wait until all started batches of these partitions are confirmed; False after `timeout` seconds."""
        with self._changed:
            assignments = [self._assignments[tp] for tp in self._assignments.keys() & set(tps)]
            return self._changed.wait_for(lambda: not any(assignment.batches for assignment in assignments), timeout)

    def remove(self, tps: Iterable[TP]) -> None:
        """End the assignments: their batches have no further effect."""
        with self._changed:
            for tp in self._assignments.keys() & set(tps):
                self._assignments.pop(tp).open = False


def _advance(assignment: PartitionAssignment) -> None:
    """Advance the end of the finished prefix."""
    while assignment.batches and assignment.batches[0].state is BatchState.FINISHED:
        assignment.finished_to = assignment.batches.popleft().next_offset
    if not assignment.batches and assignment.end is not None:
        assignment.finished_to = assignment.end
