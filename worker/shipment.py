"""What is to be sent for one batch."""

from __future__ import annotations

import msgspec

from worker.transport.batch import RecordBatch
from worker.transport.producer import OutgoingRecord


class Shipment(msgspec.Struct, frozen=True):
    """The outcomes of one batch, ready to be sent: scores with their keys, and dead letters.

    `codes` has the code of each dead letter's first fault. `weight` is the room that it takes up among what is
    outstanding, in records; `started` is when its scoring began (`time.perf_counter`).
    """

    batch: RecordBatch
    keys: list[bytes | None]
    scores: list[bytes]
    letters: list[OutgoingRecord]
    codes: tuple[str, ...]
    weight: int
    started: float

    @property
    def records(self) -> int:
        """Count the outcomes."""
        return len(self.scores) + len(self.letters)
