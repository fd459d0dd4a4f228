"""Joins known outcomes with scores, in memory that grows with the outcomes, not with the scores.

An outcome with a `source` belongs to the scores of that record, one per model. An outcome without one belongs to the
last score of its patient that is not later than the outcome. Two outcomes of one score count once if they agree;
otherwise the score is excluded, as nobody knows which is right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from runtime.kafka.messages import NO_TIMESTAMP
from schemas.records import KnownOutcome, ModelRef, Source

Moment = tuple[int, int, int]
"""Timestamp (milliseconds since 1970), partition and offset of a record. Later ones are greater."""


class DatedOutcome(NamedTuple):
    """An outcome with its time and position."""

    moment: Moment
    known: KnownOutcome


class SeenScore(msgspec.Struct, frozen=True):
    """The fields of a score that the join needs."""

    patient_id: str
    risk: float
    model: ModelRef
    source: Source | None = None
    label: int = 0


class Pair(NamedTuple):
    """A risk and its outcome, ordered by when the outcome became known."""

    moment: Moment
    risk: float
    outcome: int


class LeftOut(msgspec.Struct, frozen=True):
    """Counts of excluded outcomes, by reason, and of unreadable scores.

    `unreadable` are not outcomes, `older` exceed the number that is kept, `without_score` have no score on the topic,
    `other_patient` name a record of another patient, `repeated` repeat the outcome of a score, `contradictory` disagree
    about the outcome of one score.
    """

    unreadable: int = 0
    older: int = 0
    without_score: int = 0
    other_patient: int = 0
    repeated: int = 0
    contradictory: int = 0
    unreadable_scores: int = 0


class Joined(msgspec.Struct, frozen=True):
    """Pairs by model, oldest first, and the excluded outcomes."""

    pairs: Mapping[ModelRef, list[Pair]]
    left_out: LeftOut


class _Candidate(NamedTuple):
    """The last score that an outcome can belong to. `place` identifies the score, however often it was repeated."""

    moment: Moment
    risk: float
    model: ModelRef
    place: tuple[Any, ...]


class Join:
    """Joins outcomes, which are given first, with scores, each given once, in any order."""

    def __init__(self, outcomes: Iterable[DatedOutcome]) -> None:
        self._by_source: dict[Source, list[DatedOutcome]] = defaultdict(list)
        self._by_patient: dict[str, list[DatedOutcome]] = defaultdict(list)
        self._last: dict[DatedOutcome, _Candidate] = {}
        self._named: dict[Source, dict[ModelRef, _Candidate]] = defaultdict(dict)
        self._patients: dict[Source, str] = {}
        for noted in outcomes:
            source = noted.known.source
            if isinstance(source, Source):
                self._by_source[source].append(noted)
            else:
                self._by_patient[noted.known.patient_id].append(noted)

    def add(self, score: SeenScore, moment: Moment) -> None:
        """Add a score."""
        place = moment[1:] if score.source is None else (score.source.topic, *msgspec.structs.astuple(score.source)[1:])
        best = _Candidate(moment, score.risk, score.model, (score.model, *place))
        if score.source in self._by_source:
            self._patients[score.source] = score.patient_id
            of_model = self._named[score.source]
            if moment >= of_model.get(score.model, best).moment:
                of_model[score.model] = best
        for noted in self._by_patient.get(score.patient_id, ()):
            if _is_not_later(moment, noted.moment) and moment >= self._last.get(noted, best).moment:
                self._last[noted] = best

    def joined(self, *, unreadable: int = 0, older: int = 0, unreadable_scores: int = 0) -> Joined:
        """Return the join; the arguments count what was excluded before it."""
        claims: dict[tuple[Any, ...], list[tuple[DatedOutcome, _Candidate]]] = defaultdict(list)
        unscored = others = 0
        for noted in self._outcomes():
            if self._is_of_other_patient(noted):
                others += 1
                continue
            found = self._scores_of(noted)
            unscored += not found
            for best in found:
                claims[best.place].append((noted, best))
        pairs, repeated, contradictory = _pairs(claims.values())
        left_out = LeftOut(unreadable, older, unscored, others, repeated, contradictory, unreadable_scores)
        return Joined(pairs, left_out)

    def _outcomes(self) -> Iterator[DatedOutcome]:
        for kept in (self._by_source, self._by_patient):
            for noted in kept.values():
                yield from noted

    def _is_of_other_patient(self, noted: DatedOutcome) -> bool:
        source = noted.known.source
        scored = self._patients.get(source) if isinstance(source, Source) else None
        return scored is not None and scored != noted.known.patient_id

    def _scores_of(self, noted: DatedOutcome) -> list[_Candidate]:
        source = noted.known.source
        if isinstance(source, Source):
            return list(self._named.get(source, {}).values())
        return [self._last[noted]] if noted in self._last else []


def _is_not_later(scored: Moment, found: Moment) -> bool:
    """Return whether a score is not later than an outcome; an outcome without a timestamp matches any score."""
    return scored[0] <= found[0] or found[0] == NO_TIMESTAMP


def _pairs(claims: Iterable[list[tuple[DatedOutcome, _Candidate]]]) -> tuple[dict[ModelRef, list[Pair]], int, int]:
    """Return pairs by model, and the numbers of repeated and contradictory outcomes (counted once per score)."""
    pairs: dict[ModelRef, list[Pair]] = defaultdict(list)
    repeated = contradictory = 0
    for claim in claims:
        if len({noted.known.outcome for noted, _ in claim}) > 1:
            contradictory += len(claim)
            continue
        repeated += len(claim) - 1
        first, best = min(claim, key=lambda each: each[0].moment)
        pairs[best.model].append(Pair(first.moment, best.risk, first.known.outcome))
    return {model: sorted(found) for model, found in pairs.items()}, repeated, contradictory
