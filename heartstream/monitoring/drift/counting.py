"""Counts records of a file or topic in the bins of the model's training patients."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Message

from heartstream.files.formats import Format, format_of
from heartstream.files.input_file import InputOptions
from heartstream.files.records import open_records
from heartstream.files.score import ProgressCallback, score_batch
from heartstream.files.tally import Tally
from heartstream.monitoring.outcomes.topics import moment_of
from runtime.kafka.range_reader import OffsetRange, Reader
from runtime.settings import Settings
from schemas.errors import ArtifactError
from schemas.records import ModelRef
from schemas.tables.feature_table import FeatureTable
from scoring.drift import Census, Drift
from scoring.drift_reference import FieldReference, Histogram, Reference
from scoring.evidence import SourceWindow
from scoring.missingness import MissingPatterns
from scoring.model_artifact import Artifact
from scoring.scorer import Scorer
from scoring.sources import refuse_foreign
from worker.serdes import Serdes

_AT_ONCE: Final = 4_000


class DriftCounts(msgspec.Struct, frozen=True):
    """Counts of records and training patients. `patterns` are the missing patterns of records, most frequent first.

    `found_risks` counts the risks of records; `reference` has those of training patients.
    """

    model: ModelRef
    table: FeatureTable
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
    on_progress: ProgressCallback,
    reading: InputOptions = InputOptions(),  # noqa: B008  # it is frozen
) -> DriftCounts:
    """Count a file of records.

    Raises SettingsError, DataError, DependencyError and ArtifactError.
    """
    kind = format_of(path, named)
    counter = _Counter(artifact, str(path), reading.coding)
    with ExitStack() as closing:
        records = open_records(path, kind, closing, artifact.table, reading)
        for batch in records.batches():
            counter.take(batch)
            on_progress(records.done(), records.total, counter.tally)
    return counter.result()


def count_topic(artifact: Artifact, settings: Settings, last: int, coding: str | None = None) -> DriftCounts:
    """Count the newest `last` records of the patients topic, without a consumer group.

    Timestamps decide which are the newest; at most `last` are read per partition, and kept in memory. Raises
    DependencyError and ArtifactError.
    """
    topic, serdes = settings.topics.patients, Serdes.reading(settings)
    counter = _Counter(artifact, f"the topic {topic}", coding)
    with Reader.open(settings) as reader:
        ranges = {
            number: OffsetRange(max(offsets.first, offsets.end - last), offsets.end)
            for number, offsets in reader.ranges(topic).items()
        }
        messages = ((moment_of(message), _value_of(message, serdes)) for message in reader.read(topic, ranges))
        newest = heapq.nlargest(last, messages)
    for batch in _batches(value for _, value in newest):
        counter.take(batch)
    return counter.result()


def _value_of(message: Message, serdes: Serdes) -> bytes:
    """Return the decoded record; an undecodable one as it is, for the core to reject."""
    content = serdes.content_of(message)
    return content if isinstance(content, bytes) else message.value() or b""


def _batches(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(values)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch


class _Counter:
    """Scores batches and counts them in a census."""

    def __init__(self, artifact: Artifact, source: str, coding: str | None) -> None:
        """Raises ArtifactError if the model directory has no reference."""
        if artifact.reference is None:
            raise ArtifactError(
                "the model directory has no reference.json, which older versions did not write: train the model again"
            )
        self._artifact, self._reference = artifact, artifact.reference
        self._scorer = Scorer(artifact)
        compiled = self._scorer.compiled
        self._census = Census(artifact.reference, artifact.model.name, artifact.manifest.training_range, compiled)
        self._source, self._coding = source, coding
        self._seen = SourceWindow()
        self.tally = Tally()

    def take(self, batch: object) -> None:
        """Count a batch. Raises DataError if the source shows another coding."""
        results = score_batch(batch, self._scorer, self._coding)
        self._census.add(results.matrix, results.risks)
        self.tally = self.tally.plus(results)
        if self._seen.add(results.evidence()):
            raise refuse_foreign(self._source, self.tally.rows, self._artifact.table)

    def result(self) -> DriftCounts:
        census = self._census
        return DriftCounts(
            model=self._artifact.model,
            table=self._artifact.table,
            tally=self.tally,
            drift=census.measure(),
            reference=self._reference,
            training_range=self._artifact.manifest.training_range,
            found={name: census.fields()[name] for name in self._artifact.table.names},
            found_risks=census.risks(),
            patterns=_patterns(census, self._scorer.compiled.patterns),
        )


def _patterns(census: Census, patterns: MissingPatterns) -> tuple[tuple[str, int], ...]:
    by_count = sorted(census.patterns.items(), key=lambda each: (-each[1], each[0]))
    return tuple((patterns.name(pattern), count) for pattern, count in by_count)
