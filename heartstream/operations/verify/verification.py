"""One score after the other is held against what its model makes of its record now."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice, pairwise
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import Message

from heartstream.operations.verify.models import Shelf
from runtime.kafka.range_reader import AbsentTopicError, Reader, Span
from schemas.codec import UNDECODABLE, decode_score, input_digest
from schemas.frames import unframed
from schemas.records import Score, Source
from scoring.pipeline import Outcome, Rejected, process
from scoring.scorer import Scorer
from worker.formats import Formats

_CHUNK: Final = 5_000
"""So many scores are proved together: what is held is they and their records."""
_GAP: Final = 5_000
"""Records that lie further apart are read by themselves."""


class Verdict(StrEnum):
    """What became of the proof of one score."""

    PROVED = "proved"
    DIFFERENT = "different"
    """The same model makes something else of the same record."""
    INPUT_CHANGED = "input changed"
    """At the place that the score names stands another record: its digest is not the score's."""
    INPUT_GONE = "input gone"
    """The record is there no longer, as after its topic's retention."""
    MODEL_ABSENT = "model absent"
    """No model directory that was given has the digest that the score names."""
    NO_SOURCE = "no source"
    """The score names no record of a topic."""
    UNREADABLE = "unreadable"
    """What stands on the topic is no score."""


BROKEN: Final = frozenset({Verdict.DIFFERENT, Verdict.INPUT_CHANGED, Verdict.UNREADABLE})
"""What speaks against a score. The others are no proof, and no disproof."""


class Finding(msgspec.Struct, frozen=True):
    """The verdict on a score: where it stands, where its record stands, and the names of fields that differ."""

    partition: int
    offset: int
    verdict: Verdict
    source: Source | None = None
    fields: tuple[str, ...] = ()


class _Claim(NamedTuple):
    partition: int
    offset: int
    value: bytes
    score: Score
    source: Source


def prove(  # where scores and records are, and what both are read with
    scores: Reader, records: Reader, topic: str, spans: Mapping[int, Span], shelf: Shelf, formats: Formats
) -> Iterator[Finding]:
    """Yield a finding for each score in these spans. Raises DependencyError and ArtifactError.

    Two readers, for what one is reading ends when it is told to read something else.
    """
    messages, originals = scores.read(topic, spans), _Originals(records)
    while chunk := list(islice(messages, _CHUNK)):
        claims = []
        for message in chunk:
            claim = _claimed(message)
            if isinstance(claim, Finding):
                yield claim
            else:
                claims.append(claim)
        yield from _judged(claims, originals.at(claim.source for claim in claims), shelf, formats)


def _claimed(message: Message) -> _Claim | Finding:
    place = message.partition() or 0, message.offset() or 0
    value = unframed(message.value() or b"")
    try:
        score = decode_score(value)
    except UNDECODABLE:
        return Finding(*place, Verdict.UNREADABLE)
    if score.source is None:
        return Finding(*place, Verdict.NO_SOURCE)
    return _Claim(*place, value, score, score.source)


class _Originals:
    """Records by their places, each stretch of a partition read in one go."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._there: dict[str, dict[int, Span]] = {}

    def at(self, sources: Iterable[Source]) -> dict[Source, Message]:
        """Return what stands at these places; what is there no longer is left out."""
        wanted: dict[tuple[str, int], set[int]] = defaultdict(set)
        for source in sources:
            wanted[source.topic, source.partition].add(source.offset)
        found: dict[Source, Message] = {}
        for (topic, partition), offsets in sorted(wanted.items()):
            there = self._spans(topic).get(partition, Span(0, 0))
            for first, end in _stretches(sorted(offsets)):
                span = Span(max(first, there.first), min(end, there.end))
                for message in self._reader.read(topic, {partition: span}):
                    if (offset := message.offset() or 0) in offsets:
                        found[Source(topic, partition, offset)] = message
        return found

    def _spans(self, topic: str) -> dict[int, Span]:
        if topic not in self._there:
            try:
                self._there[topic] = self._reader.spans(topic)
            except AbsentTopicError:
                self._there[topic] = {}
        return self._there[topic]


def _stretches(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield stretches that hold these offsets (rising), without long gaps: first, and one beyond the last."""
    first = offsets[0]
    for offset, following in pairwise(offsets):
        if following - offset > _GAP:
            yield first, offset + 1
            first = following
    yield first, offsets[-1] + 1


def _judged(
    claims: Sequence[_Claim], originals: Mapping[Source, Message], shelf: Shelf, formats: Formats
) -> Iterator[Finding]:
    """Judge what can be judged at once; score the records of each model and kind of score together."""
    to_score: dict[int, tuple[Scorer, list[_Claim]]] = {}
    for claim in claims:
        place = claim.partition, claim.offset
        if claim.source not in originals:
            yield Finding(*place, Verdict.INPUT_GONE, claim.source)
            continue
        digest = claim.score.input_digest
        if isinstance(digest, str) and digest != input_digest(originals[claim.source].value() or b""):
            yield Finding(*place, Verdict.INPUT_CHANGED, claim.source)
            continue
        scorer = shelf.scorer(claim.score)
        if scorer is None:
            yield Finding(*place, Verdict.MODEL_ABSENT, claim.source)
        else:
            to_score.setdefault(id(scorer), (scorer, []))[1].append(claim)
    for scorer, those in to_score.values():
        sources = [claim.source for claim in those]
        outcomes = _scored([originals[source] for source in sources], sources, scorer, formats)
        for claim, outcome in zip(those, outcomes, strict=True):
            again = b"" if isinstance(outcome, Rejected) else outcome.value
            yield _compared(claim, again)


def _scored(records: Sequence[Message], sources: Sequence[Source], scorer: Scorer, formats: Formats) -> list[Outcome]:
    values = [record.value() for record in records]
    return process(values, sources, scorer, lambda place: formats.content_of(records[place]))


def _compared(claim: _Claim, again: bytes) -> Finding:
    verdict = Verdict.PROVED if again == claim.value else Verdict.DIFFERENT
    fields = () if verdict is Verdict.PROVED else differing(claim.value, again)
    return Finding(claim.partition, claim.offset, verdict, claim.source, fields)


def differing(told: bytes, again: bytes) -> tuple[str, ...]:
    """Name the fields in which two scores differ; all of them, where the record is not scored any more."""
    before, now = json.loads(told), json.loads(again or b"{}")
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return tuple(names) or ("written differently",)
