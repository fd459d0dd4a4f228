"""Reads the outcomes and scores topics completely, without a consumer group."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec
from confluent_kafka import Message

from heartstream.monitoring.outcomes.join import DatedOutcome, Join, Joined, Moment, SeenScore
from runtime.kafka.messages import NO_TIMESTAMP, timestamp_of
from runtime.kafka.range_reader import OffsetRange, Reader
from runtime.settings import Topics
from schemas.codec import UNDECODABLE, decode_known_outcome
from schemas.wire_format import strip_prefix

T = TypeVar("T")

_decode_score: Final = msgspec.json.Decoder(SeenScore).decode


class TopicRanges(NamedTuple):
    """The offset ranges of both topics, by partition."""

    outcomes: dict[int, OffsetRange]
    scores: dict[int, OffsetRange]

    @classmethod
    def of(cls, reader: Reader, topics: Topics) -> TopicRanges:
        """Ask the broker. Raises DependencyError."""
        return cls(reader.ranges(topics.outcomes), reader.ranges(topics.scores))


class CountingDecoder(Generic[T]):
    """Decodes records, and counts decoded and undecodable ones."""

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        """`decode` raises one of `UNDECODABLE` for an undecodable value."""
        self._decode = decode
        self.read = self.unreadable = 0

    def of(self, messages: Iterable[Message]) -> Iterator[tuple[Moment, T]]:
        """Yield decoded records with their time and position."""
        for message in messages:
            try:
                found = self._decode(message.value() or b"")
            except UNDECODABLE:
                self.unreadable += 1
            else:
                self.read += 1
                yield moment_of(message), found


def read_score(value: bytes) -> SeenScore:
    """Decode the needed fields of a score, with or without a schema registry header. Raises one of `UNDECODABLE`."""
    return _decode_score(strip_prefix(value))


class Outcomes(NamedTuple):
    """The newest outcomes, and the numbers of unreadable and older ones."""

    newest: list[DatedOutcome]
    unreadable: int
    older: int


def newest_outcomes(reader: Reader, topic: str, ranges: Mapping[int, OffsetRange], most: int) -> Outcomes:
    """Read the outcomes and keep the newest `most`. Raises DependencyError."""
    outcomes = CountingDecoder(decode_known_outcome)
    newest = heapq.nlargest(most, (DatedOutcome(*each) for each in outcomes.of(reader.read(topic, ranges))))
    return Outcomes(newest, outcomes.unreadable, outcomes.read - len(newest))


def join_topics(reader: Reader, topics: Topics, ranges: TopicRanges, most: int) -> Joined:
    """Join the newest `most` outcomes with all scores. Raises DependencyError.

    Blocks until both topics are read. Keeps the outcomes and their scores in memory.
    """
    outcomes = newest_outcomes(reader, topics.outcomes, ranges.outcomes, most)
    join, scores = Join(outcomes.newest), CountingDecoder(read_score)
    for moment, score in scores.of(reader.read(topics.scores, ranges.scores)):
        join.add(score, moment)
    return join.joined(unreadable=outcomes.unreadable, older=outcomes.older, unreadable_scores=scores.unreadable)


def moment_of(message: Message) -> Moment:
    """Return time and position of a consumed message; the time is -1 if it has none."""
    time = timestamp_of(message)
    return (NO_TIMESTAMP if time is None else time, message.partition() or 0, message.offset() or 0)
