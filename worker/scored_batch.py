"""The results of one batch, ready to be published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from runtime.tracing.spans import Span
from schemas.cloudevents import ScoreEvents
from schemas.records import Source
from worker.kafka.batch import RecordBatch
from worker.kafka.outgoing_record import Headers, OutgoingRecord


class EventHeaders(Mapping[int, Headers]):
    """The headers of scores sent as CloudEvents, with those of their spans; made only when a score is sent."""

    def __init__(
        self, events: ScoreEvents, sources: Sequence[Source], traces: Mapping[int, Headers] = MappingProxyType({})
    ) -> None:
        """`sources` has one entry per score; `traces` has the headers of the traced ones, by index."""
        self._event = events.headers
        self._sources = sources
        self._traces = traces

    def __getitem__(self, index: int) -> list[tuple[str, bytes | None]]:
        """Return the headers of the score at an index."""
        return [*self._event(self._sources[index]), *self._traces.get(index, ())]

    def __contains__(self, index: object) -> bool:
        """Whether there is such a score: each has headers."""
        return isinstance(index, int) and 0 <= index < len(self._sources)

    def __iter__(self) -> Iterator[int]:
        """Yield the indexes."""
        return iter(range(len(self._sources)))

    def __len__(self) -> int:
        """Count the scores."""
        return len(self._sources)


class ScoredBatch(msgspec.Struct, frozen=True):
    """The results of one batch, ready to be sent: scores with their keys, and dead letters.

    `codes` has the code of each dead letter's first error. `weight` is what the batch counts toward the limit of
    records in flight; `started` is when its scoring began (`time.perf_counter`, s). `headers` has the headers of scores
    that carry any, by index; `spans` end when the batch is confirmed. `is_awaited` is false for shadow scores, whose
    latency is not measured.
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
    is_awaited: bool = True

    @property
    def records(self) -> int:
        """The number of scores and dead letters."""
        return len(self.scores) + len(self.letters)
