"""The outcomes and scores topics, read from end to end, in no consumer group."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
from confluent_kafka import Message

from heartstream.monitoring.outcomes.join import Join, Joined, Moment, Noted, SeenScore
from runtime.kafka.range_reader import Reader, Span
from runtime.record_times import NO_TIMESTAMP, timestamp_of
from runtime.settings import Topics
from schemas.codec import UNDECODABLE, decode_known_outcome
from schemas.frames import unframed

T = TypeVar("T")

_decode_score: Final = msgspec.json.Decoder(SeenScore).decode


class Spans(NamedTuple):
    """What the two topics hold, by partition."""

    outcomes: dict[int, Span]
    scores: dict[int, Span]

    @classmethod
    def of(cls, reader: Reader, topics: Topics) -> Spans:
        """Ask the broker. Raises DependencyError."""
        return cls(reader.spans(topics.outcomes), reader.spans(topics.scores))


class Readable(Generic[T]):
    """Reads records one after the other, and counts those that could be read and those that could not."""

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        """`decode` raises one of `UNDECODABLE` for what it cannot read."""
        self._decode = decode
        self.read = self.unreadable = 0

    def of(self, messages: Iterable[Message]) -> Iterator[tuple[Moment, T]]:
        """Yield each that can be read, and when and where it stands."""
        for message in messages:
            try:
                found = self._decode(message.value() or b"")
            except UNDECODABLE:
                self.unreadable += 1
            else:
                self.read += 1
                yield moment_of(message), found


def read_score(value: bytes) -> SeenScore:
    """Read what is needed of a score, also in a schema registry's frame. Raises as `Readable` asks for."""
    return _decode_score(unframed(value))


class Outcomes(NamedTuple):
    """The newest outcomes, and how many were read that are none or older."""

    newest: list[Noted]
    unreadable: int
    older: int


def newest_outcomes(reader: Reader, topic: str, spans: Mapping[int, Span], most: int) -> Outcomes:
    """Read outcomes and hold the newest, `most` of them. Raises DependencyError."""
    outcomes = Readable(decode_known_outcome)
    newest = heapq.nlargest(most, (Noted(*each) for each in outcomes.of(reader.read(topic, spans))))
    return Outcomes(newest, outcomes.unreadable, outcomes.read - len(newest))


def join_topics(reader: Reader, topics: Topics, spans: Spans, most: int) -> Joined:
    """Join the newest outcomes, `most` of them, with all scores. Raises DependencyError.

    Blocks for as long as it takes to read both topics. Holds the outcomes, and no scores but theirs.
    """
    outcomes = newest_outcomes(reader, topics.outcomes, spans.outcomes, most)
    join, scores = Join(outcomes.newest), Readable(read_score)
    for moment, score in scores.of(reader.read(topics.scores, spans.scores)):
        join.note(score, moment)
    return join.joined(unreadable=outcomes.unreadable, older=outcomes.older, unreadable_scores=scores.unreadable)


def moment_of(message: Message) -> Moment:
    """Return when and where a consumed message stands; -1 is no time."""
    time = timestamp_of(message)
    return (NO_TIMESTAMP if time is None else time, message.partition() or 0, message.offset() or 0)
