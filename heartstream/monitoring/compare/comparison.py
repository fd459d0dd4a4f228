"""Compares two models on the same records: scores of two topics, joined by record, or a file that both score."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path

import msgspec
import numpy as np

from heartstream.files.formats import Format, format_of
from heartstream.files.input_file import InputOptions
from heartstream.files.records import open_records
from heartstream.files.score import ProgressCallback, score_batch
from heartstream.files.tally import Tally
from heartstream.monitoring.compare.differences import (
    ComparisonCounter,
    Labels,
    ModelComparison,
    OutcomeComparison,
    compare_outcomes,
)
from heartstream.monitoring.outcomes.join import DatedOutcome, Join, Moment, Pair, SeenScore
from heartstream.monitoring.outcomes.topics import CountingDecoder, newest_outcomes, read_score
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from schemas.records import ModelRef, Source
from scoring.engines import Vector
from scoring.evidence import SourceWindow
from scoring.model_artifact import Artifact
from scoring.scorer import Scorer
from scoring.sources import refuse_foreign

Models = tuple[ModelRef, ModelRef]
"""Champion and challenger."""


class LeftOut(msgspec.Struct, frozen=True):
    """Counts of excluded scores and records, by reason.

    Scores: `unreadable` are not scores, `older` are the challenger's beyond the number that is kept, `without_champion`
    have no score of the champion on the topic (expired, or not there yet), `repeated` are duplicates. Records of a
    file: `rejected`.
    """

    unreadable: int = 0
    older: int = 0
    without_champion: int = 0
    repeated: int = 0
    rejected: int = 0


class ComparisonResult(msgspec.Struct, frozen=True):
    """Each pair of models that scored the same records, most records first."""

    compared: tuple[ModelComparison, ...]
    left_out: LeftOut


class _ScorePair(msgspec.Struct, frozen=True):
    """Two models' scores of one record; `moment` is that of the champion's."""

    moment: Moment
    champion: SeenScore
    challenger: SeenScore


def _read(value: bytes) -> tuple[Source, SeenScore]:
    """Decode the score of a record; a score without a source is refused."""
    score = read_score(value)
    if score.source is None:
        raise msgspec.ValidationError("a score without a source")
    return score.source, score


def compare_topics(settings: Settings, last: int, outcomes: int) -> ComparisonResult:
    """Compare the newest `last` scores of the challenger with the champion's scores of the same records.

    Evaluates both on the newest `outcomes` outcomes; 0 reads none. Blocks until the topics are read, and keeps only the
    challenger's scores and the outcomes in memory. Raises DependencyError and SettingsError.
    """
    topics = settings.topics
    with Reader.open(settings) as reader:
        known: list[DatedOutcome] = []
        if outcomes:
            known = newest_outcomes(reader, topics.outcomes, reader.ranges(topics.outcomes), outcomes).newest
        shadow, scores = CountingDecoder(_read), CountingDecoder(_read)
        newest = heapq.nlargest(
            last, shadow.of(reader.read(topics.shadow, reader.ranges(topics.shadow))), key=itemgetter(0)
        )
        # Repeated scores have the same bytes, unless the model was replaced in between: the last one counts.
        held = {source: score for _, (source, score) in reversed(newest)}
        challengers = len(held)
        pairs: dict[Models, list[_ScorePair]] = defaultdict(list)
        for moment, (source, champion) in scores.of(reader.read(topics.scores, reader.ranges(topics.scores))):
            if (challenger := held.pop(source, None)) is not None:
                pairs[champion.model, challenger.model].append(_ScorePair(moment, champion, challenger))
    left_out = LeftOut(
        unreadable=shadow.unreadable + scores.unreadable,
        older=shadow.read - len(newest),
        without_champion=len(held),
        repeated=len(newest) - challengers,
    )
    by_outcomes = _compare_outcomes([pair for found in pairs.values() for pair in found], known)
    return ComparisonResult(
        _ordered([_compared(models, found, by_outcomes.get(models)) for models, found in pairs.items()]), left_out
    )


def _ordered(compared: list[ModelComparison]) -> tuple[ModelComparison, ...]:
    return tuple(sorted(compared, key=lambda each: (-each.records, each.champion.digest, each.challenger.digest)))


def _compared(models: Models, found: Sequence[_ScorePair], by_outcomes: OutcomeComparison | None) -> ModelComparison:
    counter = ComparisonCounter(*models)
    columns = zip(*((*_of(pair.champion), *_of(pair.challenger)) for pair in found), strict=True)
    champion, champion_labels, challenger, challenger_labels = (np.array(column) for column in columns)
    counter.add(champion, challenger, champion_labels, challenger_labels)
    return counter.result(by_outcomes)


def _of(score: SeenScore) -> tuple[float, int]:
    return score.risk, score.label


def _compare_outcomes(pairs: Sequence[_ScorePair], known: Sequence[DatedOutcome]) -> Mapping[Models, OutcomeComparison]:
    """Evaluate each pair of models by the outcomes of records that both scored.

    Both joins get the same records at the same moments, so they differ only in the risks.
    """
    joins = (Join(known), Join(known))
    for pair in pairs:
        joins[0].add(pair.champion, pair.moment)
        joins[1].add(pair.challenger, pair.moment)
    champions, challengers = (_by_moment(join.joined().pairs) for join in joins)
    found: dict[Models, list[tuple[int, float, float]]] = defaultdict(list)
    for moment in sorted(champions.keys() & challengers.keys()):
        (champion, first), (challenger, second) = champions[moment], challengers[moment]
        found[champion, challenger].append((first.outcome, first.risk, second.risk))
    return {
        models: compare_outcomes(*(np.array(column) for column in zip(*each, strict=True)))
        for models, each in found.items()
    }


def _by_moment(pairs: Mapping[ModelRef, list[Pair]]) -> dict[Moment, tuple[ModelRef, Pair]]:
    return {pair.moment: (model, pair) for model, found in pairs.items() for pair in found}


def compare_file(  # two models, and a file as `score` has it
    champion: Artifact,
    challenger: Artifact,
    path: Path,
    named: Format | None,
    on_progress: ProgressCallback,
    reading: InputOptions = InputOptions(),  # noqa: B008  # it is frozen
) -> ComparisonResult:
    """Score a file with two models, and compare.

    Raises SettingsError, DataError, DependencyError and ArtifactError.
    """
    kind, tally, seen = format_of(path, named), Tally(), SourceWindow()
    ours, theirs = Scorer(champion), Scorer(challenger)
    counter = ComparisonCounter(ours.model, theirs.model)
    with ExitStack() as closing:
        records = open_records(path, kind, closing, champion.table, reading)
        for batch in records.batches():
            results = score_batch(batch, ours, reading.coding)
            if results.scored:
                risks = theirs.risks(results.matrix)
                counter.add(results.risks, risks, results.labels.astype(np.int64), _labels(risks, theirs))
            tally = tally.plus(results)
            if seen.add(results.evidence()):
                raise refuse_foreign(str(path), tally.rows, champion.table)
            on_progress(records.done(), records.total, tally)
    compared = counter.result()
    return ComparisonResult((compared,) if compared.records else (), LeftOut(rejected=tally.rejected))


def _labels(risks: Vector, scorer: Scorer) -> Labels:
    labels: Labels = (risks >= scorer.manifest.threshold).astype(np.int64)
    return labels
