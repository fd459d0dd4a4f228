"""Tracing of records: each span continues the trace in its record's headers (W3C Trace Context).

A span begins when its record's batch is scored and ends when the outcome is confirmed. Its attributes follow
OpenTelemetry's conventions for Kafka, without the record's key.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from runtime.kafka.messages import headers_of
from runtime.tracing.spans import Attributes, Span, Tracing
from runtime.tracing.trace_context import Parent, read_parent
from schemas.records import Source
from scoring.pipeline import Issues
from worker.kafka.batch import RecordBatch

NO_SPANS: Final[Mapping[int, Span]] = {}


class Tracer(Protocol):
    """Begins the spans of a batch."""

    def begin(
        self, batch: RecordBatch, sources: Sequence[Source], rejected: Mapping[int, Issues], started: float
    ) -> Mapping[int, Span]:
        """Return the spans of the traced records by their index in the batch, in order."""
        ...


class NoTracer:
    """Traces nothing."""

    def begin(
        self, _batch: RecordBatch, _sources: Sequence[Source], _rejected: Mapping[int, Issues], _started: float
    ) -> Mapping[int, Span]:
        """Return none."""
        return NO_SPANS


class SamplingTracer:
    """Traces records that carry a sampled trace, and a share of the others."""

    def __init__(self, tracing: Tracing, group_id: str) -> None:
        self._tracing = tracing
        self._group_id = group_id

    def begin(
        self, batch: RecordBatch, sources: Sequence[Source], rejected: Mapping[int, Issues], started: float
    ) -> Mapping[int, Span]:
        """Begin the spans of a batch whose scoring began at `started` (`time.perf_counter`)."""
        seconds = time.perf_counter() - started
        spans: dict[int, Span] = {}
        for index, parent in self._wanted(batch):
            # Over the rate limit, skip the rest of the batch.
            if not self._tracing.allows():
                break
            issues = rejected.get(index, ())
            attributes = _attributes(sources[index], self._group_id, is_rejected=bool(issues))
            span = self._tracing.begin(f"process {batch.tp.topic}", "consumer", parent, attributes, seconds)
            if span is not None:
                spans[index] = span
                _mark(span, issues)
        return spans

    def _wanted(self, batch: RecordBatch) -> Iterator[tuple[int, Parent | None]]:
        """Yield the indexes of the records to trace, in order, with their parent spans."""
        picked = set(self._tracing.picked(len(batch)))
        for index, message in enumerate(batch.messages):
            headers = headers_of(message)
            parent = read_parent(headers) if headers else None
            if index in picked if parent is None else parent.is_sampled:
                yield index, parent


def _attributes(source: Source, group_id: str, *, is_rejected: bool) -> Attributes:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": source.topic,
        "messaging.destination.partition.id": str(source.partition),
        "messaging.kafka.offset": source.offset,
        "messaging.consumer.group.name": group_id,
        "heartstream.outcome": "rejected" if is_rejected else "scored",
    }


def _mark(span: Span, issues: Issues) -> None:
    """Add the error codes of a rejected record, a bounded set, to its span."""
    if issues:
        codes = [str(issue.code) for issue in issues]
        span.set_attributes({"heartstream.rejection_codes": codes})
        span.fail(codes[0])
