"""Traces of records: each goes on with the trace that its record's headers bring along (W3C Trace Context).

A span begins with the scoring of its record's batch and ends when the outcome is confirmed. Its attributes are those of
OpenTelemetry's conventions for Kafka, but never the record's key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from runtime.tracing import Attributes, Span, Tracing, read_parent
from schemas.records import Source
from scoring.pipeline import Outcome, Rejected, Scored
from worker.transport.batch import RecordBatch

NO_SPANS: Final[Mapping[int, Span]] = {}


class Traces(Protocol):
    """Begins the spans of a batch."""

    def begin(
        self, batch: RecordBatch, sources: Sequence[Source], outcomes: Sequence[Outcome], started: float
    ) -> Mapping[int, Span]:
        """Return the spans of those records that are traced, by place in the batch, in order."""
        ...


class NoTraces:
    """Traces nothing."""

    def begin(
        self, _batch: RecordBatch, _sources: Sequence[Source], _outcomes: Sequence[Outcome], _started: float
    ) -> Mapping[int, Span]:
        """Return none."""
        return NO_SPANS


class RecordTraces:
    """Traces records that bring a sampled trace along, and a share of the others."""

    def __init__(self, tracing: Tracing, group_id: str) -> None:
        self._tracing = tracing
        self._group_id = group_id

    def begin(
        self, batch: RecordBatch, sources: Sequence[Source], outcomes: Sequence[Outcome], started: float
    ) -> Mapping[int, Span]:
        """Begin the spans of a batch whose scoring began at `started` (`time.perf_counter`)."""
        brought = {place: headers for place, message in enumerate(batch.messages) if (headers := message.headers())}
        parents = {place: read_parent(headers) for place, headers in brought.items()}  # type: ignore[arg-type]  # read as pairs
        own = set(self._tracing.picked(len(batch)))
        places = sorted(own.union(place for place, parent in parents.items() if parent is not None))
        seconds = time.perf_counter() - started
        spans: dict[int, Span] = {}
        for place in places:
            attributes = _attributes(sources[place], outcomes[place], self._group_id)
            name = f"process {sources[place].topic}"
            span = self._tracing.begin(name, "consumer", parents.get(place), attributes, seconds)
            if span is not None:
                spans[place] = span
                _mark(span, outcomes[place])
        return spans


def _attributes(source: Source, outcome: Outcome, group_id: str) -> Attributes:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": source.topic,
        "messaging.destination.partition.id": str(source.partition),
        "messaging.kafka.offset": source.offset,
        "messaging.consumer.group.name": group_id,
        "heartstream.outcome": "scored" if isinstance(outcome, Scored) else "rejected",
    }


def _mark(span: Span, outcome: Outcome) -> None:
    """Show what is wrong with a rejected record: codes, a small, closed set."""
    if isinstance(outcome, Rejected):
        codes = [str(fault.code) for fault in outcome.faults]
        span.note({"heartstream.fault_codes": codes})
        span.fail(codes[0])
