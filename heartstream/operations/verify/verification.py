"""Verifies scores: scores their records again with the same model, and compares the bytes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice, pairwise
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import Message

from heartstream.operations.verify.models import ModelDirectories
from runtime.kafka.range_reader import AbsentTopicError, OffsetRange, Reader
from schemas.codec import UNDECODABLE, decode_score, encode_score, input_digest
from schemas.records import Score, Source
from schemas.wire_format import strip_prefix
from scoring.scorer import Scorer
from worker.serdes import Serdes

_CHUNK: Final = 5_000
"""Scores that are verified together; they and their records are in memory."""
_GAP: Final = 5_000
"""Records further apart than this are read separately."""


class Verdict(StrEnum):
    """The result of verifying one score."""

    VERIFIED = "verified"
    DIFFERENT = "different"
    """The same model gives another score for the same record."""
    INPUT_CHANGED = "input changed"
    """The record at the position in the score has another digest."""
    INPUT_GONE = "input gone"
    """The record no longer exists, for example after the topic's retention."""
    MODEL_ABSENT = "model absent"
    """None of the model directories has the digest in the score."""
    NO_SOURCE = "no source"
    """The score has no source."""
    UNREADABLE = "unreadable"
    """The record on the scores topic is not a score."""


CONTRADICTED: Final = frozenset({Verdict.DIFFERENT, Verdict.INPUT_CHANGED, Verdict.UNREADABLE})
"""Results that contradict a score. The others neither verify nor contradict it."""


class Finding(msgspec.Struct, frozen=True):
    """The result for a score: its position, its source, and the names of fields that differ."""

    partition: int
    offset: int
    verdict: Verdict
    source: Source | None = None
    fields: tuple[str, ...] = ()


class _StoredScore(NamedTuple):
    partition: int
    offset: int
    value: bytes
    score: Score
    source: Source


def verify_scores(  # where scores and records are, and what both are read with
    scores: Reader,
    records: Reader,
    topic: str,
    ranges: Mapping[int, OffsetRange],
    models: ModelDirectories,
    serdes: Serdes,
) -> Iterator[Finding]:
    """Yield a finding for each score in these ranges. Raises DependencyError and ArtifactError.

    Needs two readers, because a reader reads one topic at a time.
    """
    messages, originals = scores.read(topic, ranges), _Originals(records)
    while chunk := list(islice(messages, _CHUNK)):
        stored_scores = []
        for message in chunk:
            stored = _decode(message)
            if isinstance(stored, Finding):
                yield stored
            else:
                stored_scores.append(stored)
        yield from _findings(stored_scores, originals.at(stored.source for stored in stored_scores), models, serdes)


def _decode(message: Message) -> _StoredScore | Finding:
    position = message.partition() or 0, message.offset() or 0
    value = strip_prefix(message.value() or b"")
    try:
        score = decode_score(value)
    except UNDECODABLE:
        return Finding(*position, Verdict.UNREADABLE)
    if score.source is None:
        return Finding(*position, Verdict.NO_SOURCE)
    return _StoredScore(*position, value, score, score.source)


class _Originals:
    """Reads original records by position, in contiguous ranges."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._there: dict[str, dict[int, OffsetRange]] = {}

    def at(self, sources: Iterable[Source]) -> dict[Source, Message]:
        """Return the records at these positions; expired ones are missing."""
        wanted: dict[tuple[str, int], set[int]] = defaultdict(set)
        for source in sources:
            wanted[source.topic, source.partition].add(source.offset)
        found: dict[Source, Message] = {}
        for (topic, partition), offsets in sorted(wanted.items()):
            there = self._stored_ranges(topic).get(partition, OffsetRange(0, 0))
            for first, end in _ranges(sorted(offsets)):
                stored = OffsetRange(max(first, there.first), min(end, there.end))
                for message in self._reader.read(topic, {partition: stored}):
                    if (offset := message.offset() or 0) in offsets:
                        found[Source(topic, partition, offset)] = message
        return found

    def _stored_ranges(self, topic: str) -> dict[int, OffsetRange]:
        if topic not in self._there:
            try:
                self._there[topic] = self._reader.ranges(topic)
            except AbsentTopicError:
                self._there[topic] = {}
        return self._there[topic]


def _ranges(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges that cover these ascending offsets without long gaps."""
    first = offsets[0]
    for offset, following in pairwise(offsets):
        if following - offset > _GAP:
            yield first, offset + 1
            first = following
    yield first, offsets[-1] + 1


def _findings(
    stored_scores: Sequence[_StoredScore],
    originals: Mapping[Source, Message],
    models: ModelDirectories,
    serdes: Serdes,
) -> Iterator[Finding]:
    """Yield the findings; records with the same model and options are scored together."""
    to_score: dict[int, tuple[Scorer, list[_StoredScore]]] = {}
    for stored in stored_scores:
        position = stored.partition, stored.offset
        if stored.source not in originals:
            yield Finding(*position, Verdict.INPUT_GONE, stored.source)
            continue
        digest = stored.score.input_digest
        if isinstance(digest, str) and digest != input_digest(originals[stored.source].value() or b""):
            yield Finding(*position, Verdict.INPUT_CHANGED, stored.source)
            continue
        scorer = models.scorer(stored.score)
        if scorer is None:
            yield Finding(*position, Verdict.MODEL_ABSENT, stored.source)
        else:
            to_score.setdefault(id(scorer), (scorer, []))[1].append(stored)
    for scorer, group in to_score.values():
        sources = [stored.source for stored in group]
        batch = serdes.batch([originals[source] for source in sources], sources)
        for stored, outcome in zip(group, scorer.score(batch.decode(scorer.compiled)).outcomes(), strict=True):
            yield _compare(stored, b"" if isinstance(outcome, tuple) else encode_score(outcome))


def _compare(stored: _StoredScore, again: bytes) -> Finding:
    verdict = Verdict.VERIFIED if again == stored.value else Verdict.DIFFERENT
    fields = () if verdict is Verdict.VERIFIED else differing_fields(stored.value, again)
    return Finding(stored.partition, stored.offset, verdict, stored.source, fields)


def differing_fields(stored: bytes, again: bytes) -> tuple[str, ...]:
    """Return the names of fields that differ; all fields, if the record is rejected now."""
    before, now = json.loads(stored), json.loads(again or b"{}")
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return tuple(names) or ("written differently",)
