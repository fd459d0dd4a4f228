"""Two models on the same records: scores of two topics, joined by the record, or a file that both score."""

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
from heartstream.monitoring.compare.differences import Compared, Comparing, Judged, Labels, judge
from heartstream.monitoring.outcomes.join import Join, Moment, Noted, Pair, SeenScore
from heartstream.monitoring.outcomes.topics import Readable, newest_outcomes, read_score
from runtime.kafka.range_reader import Reader
from runtime.settings import Settings
from schemas.records import ModelRef, Source
from scoring.artifact import Artifact
from scoring.engines import Vector
from scoring.evidence import SourceWindow
from scoring.matrix import Matrix
from scoring.scorer import Scorer
from scoring.sources import refuse_foreign

Models = tuple[ModelRef, ModelRef]
"""Champion and challenger."""


class LeftOut(msgspec.Struct, frozen=True):
    """What does not count, by why.

    Scores: `unreadable` are none, `older` are the challenger's beyond the number that is held, `without_champion` have
    no score of the champion on the topic (it may have expired, or not have come yet), `repeated` came again. Records of
    a file: `rejected`.
    """

    unreadable: int = 0
    older: int = 0
    without_champion: int = 0
    repeated: int = 0
    rejected: int = 0


class Found(msgspec.Struct, frozen=True):
    """Each pair of models that scored the same records, the one with most records first."""

    compared: tuple[Compared, ...]
    left_out: LeftOut


class _Twice(msgspec.Struct, frozen=True):
    """Two models' scores of one record; `moment` is when and where the champion's stands."""

    moment: Moment
    champion: SeenScore
    challenger: SeenScore


def _read(value: bytes) -> tuple[Source, SeenScore]:
    """Read the score of a record; one of no record is none here."""
    score = read_score(value)
    if score.source is None:
        raise msgspec.ValidationError("a score of no record")
    return score.source, score


def compare_topics(settings: Settings, last: int, outcomes: int) -> Found:
    """Compare the newest scores of the challenger's topic, `last` of them, with the champion's of the same records.

    Judges both by the newest `outcomes` outcomes; 0 is not to ask for any. Blocks for as long as it takes to read the
    topics, and holds the challenger's scores and outcomes alone. Raises DependencyError and SettingsError.
    """
    topics = settings.topics
    with Reader.open(settings) as reader:
        known: list[Noted] = []
        if outcomes:
            known = newest_outcomes(reader, topics.outcomes, reader.spans(topics.outcomes), outcomes).newest
        shadow, scores = Readable(_read), Readable(_read)
        newest = heapq.nlargest(
            last, shadow.of(reader.read(topics.shadow, reader.spans(topics.shadow))), key=itemgetter(0)
        )
        # What came again has the same bytes, unless another model took over meanwhile: the last one counts.
        held = {source: score for _, (source, score) in reversed(newest)}
        challengers = len(held)
        pairs: dict[Models, list[_Twice]] = defaultdict(list)
        for moment, (source, champion) in scores.of(reader.read(topics.scores, reader.spans(topics.scores))):
            if (challenger := held.pop(source, None)) is not None:
                pairs[champion.model, challenger.model].append(_Twice(moment, champion, challenger))
    left_out = LeftOut(
        unreadable=shadow.unreadable + scores.unreadable,
        older=shadow.read - len(newest),
        without_champion=len(held),
        repeated=len(newest) - challengers,
    )
    judged = _judged([twice for found in pairs.values() for twice in found], known)
    return Found(_ordered([_compared(models, found, judged.get(models)) for models, found in pairs.items()]), left_out)


def _ordered(compared: list[Compared]) -> tuple[Compared, ...]:
    return tuple(sorted(compared, key=lambda each: (-each.records, each.champion.digest, each.challenger.digest)))


def _compared(models: Models, found: Sequence[_Twice], judged: Judged | None) -> Compared:
    comparing = Comparing(*models)
    columns = zip(*((*_of(twice.champion), *_of(twice.challenger)) for twice in found), strict=True)
    champion, champion_labels, challenger, challenger_labels = (np.array(column) for column in columns)
    comparing.note(champion, challenger, champion_labels, challenger_labels)
    return comparing.result(judged)


def _of(score: SeenScore) -> tuple[float, int]:
    return score.risk, score.label


def _judged(pairs: Sequence[_Twice], known: Sequence[Noted]) -> Mapping[Models, Judged]:
    """Judge each pair of models by the outcomes of records that both scored.

    Both joins see the same records at the same moments, so what they join is the same but for the risks.
    """
    joins = (Join(known), Join(known))
    for twice in pairs:
        joins[0].note(twice.champion, twice.moment)
        joins[1].note(twice.challenger, twice.moment)
    champions, challengers = (_by_moment(join.joined().pairs) for join in joins)
    found: dict[Models, list[tuple[int, float, float]]] = defaultdict(list)
    for moment in sorted(champions.keys() & challengers.keys()):
        (champion, first), (challenger, second) = champions[moment], challengers[moment]
        found[champion, challenger].append((first.outcome, first.risk, second.risk))
    return {models: judge(*(np.array(column) for column in zip(*each, strict=True))) for models, each in found.items()}


def _by_moment(pairs: Mapping[ModelRef, list[Pair]]) -> dict[Moment, tuple[ModelRef, Pair]]:
    return {pair.moment: (model, pair) for model, found in pairs.items() for pair in found}


def compare_file(  # two models, and a file as `score` has it
    champion: Artifact,
    challenger: Artifact,
    path: Path,
    named: Format | None,
    watch: ProgressCallback,
    reading: InputOptions = InputOptions(),  # noqa: B008  # it is frozen
) -> Found:
    """Let two models score a file.

    Raises SettingsError, DataError, DependencyError and ArtifactError.
    """
    kind, tally, seen = format_of(path, named), Tally(), SourceWindow()
    scorer, both = Scorer(champion), _Both(Scorer(champion), Scorer(challenger))
    scorer.census = both
    with ExitStack() as closing:
        records = open_records(path, kind, closing, reading)
        for batch in records.batches():
            lines = score_batch(batch, scorer, reading.coding)
            tally = tally.plus(lines)
            if seen.note(lines.evidence):
                raise refuse_foreign(str(path), tally.rows)
            watch(records.done(), records.total, tally)
    compared = both.comparing.result()
    return Found((compared,) if compared.records else (), LeftOut(rejected=tally.rejected))


class _Both:
    """Is shown what one model scored, and has the other score it."""

    def __init__(self, champion: Scorer, challenger: Scorer) -> None:
        self.comparing = Comparing(champion.model, challenger.model)
        self._champion, self._challenger = champion, challenger

    def note(self, matrix: Matrix, risks: Vector) -> None:
        if not len(risks):
            return
        others = self._challenger.risks(matrix)
        self.comparing.note(risks, others, _labels(risks, self._champion), _labels(others, self._challenger))


def _labels(risks: Vector, scorer: Scorer) -> Labels:
    labels: Labels = (risks >= scorer.manifest.threshold).astype(np.int64)
    return labels
