"""What may be committed: the one place that knows which records have a confirmed outcome.

For each partition it keeps the batches in flight, in order. The committable offset is the end of the longest prefix
whose every record has a confirmed score or a confirmed dead letter; nothing else is ever committed. Offsets that belong
to no record (transaction markers, aborted or compacted records) are part of that prefix once the client has read past
them. Shared by the consumer's thread (which reads, and commits) and the event loop (which scores): each method takes
one lock for a moment, except `wait_idle`, which blocks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from faust.types import TP

from worker.transport.batch import BatchState, Lease, RecordBatch


class Ledger:
    """Tracks batches from reading to confirmation. A batch of a lease that ended changes nothing any more."""

    def __init__(self) -> None:
        """Begin without partitions."""
        self.note = ""
        """What is stored beside each offset: which topic it belongs to. Set by the consumer's thread."""
        self._changed = threading.Condition()
        self._leases: dict[TP, Lease] = {}
        self._entered = self._latest_finished = 0

    def owned(self) -> set[TP]:
        """Return the partitions that this worker owns."""
        with self._changed:
            return set(self._leases)

    def grant(self, tps: Iterable[TP], stored: Mapping[TP, int] | None = None) -> None:
        """Begin a new lease on each partition; `stored` has committed offsets that need not be committed again."""
        known = stored or {}
        with self._changed:
            self._leases.update((tp, Lease(tp, known.get(tp))) for tp in tps)

    def lease(self, tp: TP) -> Lease | None:
        """Return the current lease on a partition, if there is one that still takes batches."""
        with self._changed:
            lease = self._leases.get(tp)
            return lease if lease is not None and lease.open else None

    def enter(self, batch: RecordBatch) -> None:
        """Take up a batch that was read, in the order of its partition."""
        with self._changed:
            self._entered += 1
            batch.number = self._entered
            batch.lease.batches.append(batch)
            batch.lease.end = None

    def reached_end(self, tp: TP, offset: int) -> None:
        """Note that the client has read a partition up to its end, `offset`. All records before it were entered."""
        with self._changed:
            lease = self._leases.get(tp)
            if lease is None or not lease.open:
                return
            read_to = lease.batches[-1].next_offset if lease.batches else lease.finished_to or 0
            if offset >= read_to:
                lease.end = offset
                _advance(lease)

    def start(self, batch: RecordBatch) -> bool:
        """Claim a batch for scoring. False: its partition is no longer this worker's, leave it alone."""
        with self._changed:
            if batch.state is not BatchState.WAITING or not batch.lease.open:
                return False
            if next(other for other in batch.lease.batches if other.state is BatchState.WAITING) is not batch:
                raise AssertionError("a batch was passed over: its partition's records would be lost")
            batch.state = BatchState.STARTED
            return True

    def finish(self, batch: RecordBatch) -> None:
        """Note that every record of a started batch has a confirmed outcome."""
        with self._changed:
            batch.state = BatchState.FINISHED
            self._latest_finished = max(self._latest_finished, batch.number)
            _advance(batch.lease)
            self._changed.notify_all()

    def take_committable(self) -> dict[TP, int]:
        """Return offsets that may be stored and that the broker was not asked to store yet."""
        with self._changed:
            due = {
                tp: lease.finished_to
                for tp, lease in self._leases.items()
                if lease.finished_to is not None and lease.finished_to != lease.requested
            }
            for tp, offset in due.items():
                self._leases[tp].requested = offset
            return due

    def stored(self) -> dict[TP, int]:
        """Return the stored offsets of owned partitions, without those that the broker is asked to replace."""
        with self._changed:
            return {
                tp: lease.stored
                for tp, lease in self._leases.items()
                if lease.open and lease.stored is not None and lease.requested in {None, lease.stored}
            }

    def unstored(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return offsets of these partitions that may be stored and are not known to be stored."""
        with self._changed:
            leases = [self._leases[tp] for tp in self._leases.keys() & set(tps)]
            return {
                lease.tp: lease.finished_to
                for lease in leases
                if lease.finished_to is not None and lease.finished_to != lease.stored
            }

    def passed(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return offsets like `unstored`, of partitions alone that have nothing in flight."""
        with self._changed:
            leases = [self._leases[tp] for tp in self._leases.keys() & set(tps)]
            return {
                lease.tp: lease.finished_to
                for lease in leases
                if not lease.batches
                and lease.finished_to is not None
                and (lease.stored is None or lease.finished_to > lease.stored)
            }

    def committable_with(self, batch: RecordBatch) -> int:
        """Return the offset up to which a partition is done once this batch and all before it are."""
        with self._changed:
            lease = batch.lease
            is_last = bool(lease.batches) and lease.batches[-1] is batch
            return lease.end if is_last and lease.end is not None else batch.next_offset

    def note_stored(self, offsets: Mapping[TP, int]) -> None:
        """Note that the broker has stored these offsets."""
        with self._changed:
            for tp in self._leases.keys() & offsets.keys():
                self._leases[tp].stored = offsets[tp]

    def give_back(self, offsets: Mapping[TP, int]) -> None:
        """Note that the broker did not store these offsets: they are due again."""
        with self._changed:
            for tp in self._leases.keys() & offsets.keys():
                if self._leases[tp].requested == offsets[tp]:
                    self._leases[tp].requested = None

    def ends(self) -> dict[TP, int]:
        """Return the ends of those owned partitions that the client has read completely."""
        with self._changed:
            return {tp: lease.end for tp, lease in self._leases.items() if lease.end is not None}

    def progress(self) -> dict[TP, int | None]:
        """Return, for each owned partition, the end of its finished prefix (None: nothing finished yet)."""
        with self._changed:
            return {tp: lease.finished_to for tp, lease in self._leases.items()}

    def oldest(self, tp: TP) -> RecordBatch | None:
        """Return the oldest batch in flight on an owned partition, None if there is none."""
        with self._changed:
            lease = self._leases.get(tp)
            return lease.batches[0] if lease is not None and lease.batches else None

    def is_passed_over(self, tp: TP) -> bool:
        """Say whether a batch that was read after a partition's oldest one in flight is finished."""
        oldest = self.oldest(tp)
        return oldest is not None and oldest.number < self._latest_finished

    def outstanding(self) -> tuple[int, int]:
        """Count the batches, and the records in them, that are being scored or wait for confirmation."""
        with self._changed:
            started = [
                len(batch)
                for lease in self._leases.values()
                for batch in lease.batches
                if batch.state is BatchState.STARTED
            ]
            return len(started), sum(started)

    def holds(self, batch: RecordBatch) -> bool:
        """Say whether a batch's lease has not ended: its partition is this worker's, or is just being given back."""
        with self._changed:
            return self._leases.get(batch.tp) is batch.lease

    def any_waiting(self) -> bool:
        """Say whether a batch that was read is still to be scored."""
        with self._changed:
            return any(
                lease.batches and lease.batches[-1].state is BatchState.WAITING for lease in self._leases.values()
            )

    def any_started(self) -> bool:
        """Say whether any batch is on its way to the broker."""
        with self._changed:
            return any(batch.state is BatchState.STARTED for lease in self._leases.values() for batch in lease.batches)

    def close(self, tps: Iterable[TP]) -> None:
        """Take no more batches of these partitions, and drop those that were not started."""
        with self._changed:
            for tp in self._leases.keys() & set(tps):
                lease = self._leases[tp]
                lease.open = False
                while lease.batches and lease.batches[-1].state is BatchState.WAITING:
                    lease.batches.pop().state = BatchState.DROPPED
                    lease.end = None
            self._changed.notify_all()

    def wait_idle(self, tps: Iterable[TP], timeout: float) -> bool:
        """Wait until nothing that was started on these partitions is unconfirmed; False after `timeout` seconds."""
        with self._changed:
            leases = [self._leases[tp] for tp in self._leases.keys() & set(tps)]
            return self._changed.wait_for(lambda: not any(lease.batches for lease in leases), timeout)

    def end(self, tps: Iterable[TP]) -> None:
        """End the leases: whatever still happens to their batches counts no more."""
        with self._changed:
            for tp in self._leases.keys() & set(tps):
                self._leases.pop(tp).open = False


def _advance(lease: Lease) -> None:
    """Move the end of the finished prefix on."""
    while lease.batches and lease.batches[0].state is BatchState.FINISHED:
        lease.finished_to = lease.batches.popleft().next_offset
    if not lease.batches and lease.end is not None:
        lease.finished_to = lease.end
