"""What is to be sent for one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from runtime.tracing.spans import Span
from schemas.cloudevents import ScoreEvents
from schemas.records import Source
from worker.transport.batch import RecordBatch
from worker.transport.outgoing import Headers, OutgoingRecord


class EventHeaders(Mapping[int, Headers]):
    """The headers of scores that are events, and of their spans. They are made when a score is sent: none wait."""

    def __init__(
        self, events: ScoreEvents, sources: Sequence[Source], traces: Mapping[int, Headers] = MappingProxyType({})
    ) -> None:
        """`sources` has one entry a score; `traces` has the headers of the few that are traced, by place."""
        self._event = events.headers
        self._sources = sources
        self._traces = traces

    def __getitem__(self, place: int) -> list[tuple[str, bytes | None]]:
        """Return those of one score, by its place among the scores."""
        return [*self._event(self._sources[place]), *self._traces.get(place, ())]

    def __contains__(self, place: object) -> bool:
        """Say whether there is such a score: each has headers."""
        return isinstance(place, int) and 0 <= place < len(self._sources)

    def __iter__(self) -> Iterator[int]:
        """Yield the places."""
        return iter(range(len(self._sources)))

    def __len__(self) -> int:
        """Count the scores."""
        return len(self._sources)


class Shipment(msgspec.Struct, frozen=True):
    """The outcomes of one batch, ready to be sent: scores with their keys, and dead letters.

    `codes` has the code of each dead letter's first fault. `weight` is the room that it takes up among what is
    outstanding, in records; `started` is when its scoring began (`time.perf_counter`). `headers` has those of the few
    scores that carry any, or of all, by their place among the scores; `spans` end when the batch is confirmed.
    `is_awaited` says whether somebody waits for these scores, so that it counts how long they take.
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
        """Count the outcomes."""
        return len(self.scores) + len(self.letters)
