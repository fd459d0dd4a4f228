"""Counting records, of a file or of a topic, as the model's training patients were counted."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Message

from heartstream.files.formats import Format, format_of
from heartstream.files.input_file import InputOptions
from heartstream.files.records import open_records
from heartstream.files.score import ProgressCallback, score_batch
from heartstream.files.tally import Tally
from heartstream.monitoring.outcomes.topics import moment_of
from runtime.kafka.range_reader import Reader, Span
from runtime.settings import Settings
from schemas.errors import ArtifactError
from schemas.features import FEATURE_NAMES
from schemas.records import ModelRef
from scoring.artifact import Artifact
from scoring.drift import Census, Drift, FieldReference, Histogram, Reference
from scoring.evidence import SourceWindow
from scoring.patterns import pattern_name
from scoring.scorer import Scorer
from scoring.sources import refuse_foreign
from worker.formats import Formats

_AT_ONCE: Final = 4_000


class Counted(msgspec.Struct, frozen=True):
    """Records and training patients, both as counts. `patterns` has the missing patterns of records, commonest first.

    `found_risks` are those of records; `reference` has those of training patients.
    """

    model: ModelRef
    tally: Tally
    drift: Drift
    reference: Reference
    training_range: Mapping[str, tuple[float, float]]
    found: Mapping[str, FieldReference]
    found_risks: Histogram
    patterns: tuple[tuple[str, int], ...]


def count_file(
    artifact: Artifact,
    path: Path,
    named: Format | None,
    watch: ProgressCallback,
    reading: InputOptions = InputOptions(),  # noqa: B008  # it is frozen
) -> Counted:
    """Count a file of records.

    Raises SettingsError, DataError, DependencyError and ArtifactError.
    """
    kind = format_of(path, named)
    counting = _Counting(artifact, str(path), reading.coding)
    with ExitStack() as closing:
        records = open_records(path, kind, closing, reading)
        for batch in records.batches():
            counting.take(batch)
            watch(records.done(), records.total, counting.tally)
    return counting.result()


def count_topic(artifact: Artifact, settings: Settings, last: int, coding: str | None = None) -> Counted:
    """Count the `last` records of the patients topic, in no consumer group. Raises DependencyError and ArtifactError.

    Which are the last, their timestamps say; of each partition at most so many are read, and so many are held.
    """
    topic, formats = settings.topics.patients, Formats.reading(settings)
    counting = _Counting(artifact, f"the topic {topic}", coding)
    with Reader.open(settings) as reader:
        spans = {
            number: Span(max(span.first, span.end - last), span.end) for number, span in reader.spans(topic).items()
        }
        messages = ((moment_of(message), _value_of(message, formats)) for message in reader.read(topic, spans))
        newest = heapq.nlargest(last, messages)
    for batch in _batches(value for _, value in newest):
        counting.take(batch)
    return counting.result()


def _value_of(message: Message, formats: Formats) -> bytes:
    """Return what a record holds; itself, where the core has to say what is wrong with it."""
    content = formats.content_of(message)
    return content if isinstance(content, bytes) else message.value() or b""


def _batches(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(values)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch


class _Counting:
    """A scorer that shows a census what it scores."""

    def __init__(self, artifact: Artifact, source: str, coding: str | None) -> None:
        """Raises ArtifactError where the model directory has no reference."""
        if artifact.reference is None:
            raise ArtifactError("the model directory has no reference.json, as older ones: train the model again")
        self._artifact, self._reference = artifact, artifact.reference
        self._scorer = Scorer(artifact)
        self._census = Census(artifact.reference, artifact.model.name, artifact.manifest.training_range)
        self._scorer.census = self._census
        self._source, self._coding = source, coding
        self._seen = SourceWindow()
        self.tally = Tally()

    def take(self, batch: object) -> None:
        """Raises DataError where the source shows another coding."""
        lines = score_batch(batch, self._scorer, self._coding)
        self.tally = self.tally.plus(lines)
        if self._seen.note(lines.evidence):
            raise refuse_foreign(self._source, self.tally.rows)

    def result(self) -> Counted:
        census = self._census
        return Counted(
            model=self._artifact.model,
            tally=self.tally,
            drift=census.measure(),
            reference=self._reference,
            training_range=self._artifact.manifest.training_range,
            found={name: census.fields()[name] for name in FEATURE_NAMES},
            found_risks=census.risks(),
            patterns=_patterns(census),
        )


def _patterns(census: Census) -> tuple[tuple[str, int], ...]:
    order = np.argsort(-census.patterns, kind="stable")
    return tuple((pattern_name(int(place)), int(census.patterns[place])) for place in order if census.patterns[place])
