"""What is to be sent for one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from runtime.tracing import Span
from worker.transport.batch import RecordBatch
from worker.transport.producer import Headers, OutgoingRecord


class Shipment(msgspec.Struct, frozen=True):
    """The outcomes of one batch, ready to be sent: scores with their keys, and dead letters.

    `codes` has the code of each dead letter's first fault. `weight` is the room that it takes up among what is
    outstanding, in records; `started` is when its scoring began (`time.perf_counter`). `headers` has those of the few
    scores that carry any, by their place among the scores; `spans` end when the batch is confirmed.
    """

    batch: RecordBatch
    keys: list[bytes | None]
    scores: list[bytes]
    letters: list[OutgoingRecord]
    codes: tuple[str, ...]
    weight: int
    started: float
    headers: Mapping[int, Headers] = {}
    spans: Sequence[Span] = ()

    @property
    def records(self) -> int:
        """Count the outcomes."""
        return len(self.scores) + len(self.letters)
