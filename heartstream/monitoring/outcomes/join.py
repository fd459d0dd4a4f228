"""Which score each known outcome belongs to, in memory that grows with outcomes and not with scores.

An outcome with a `source` belongs to the scores of that record: one of each model that scored it. An outcome without
belongs to the last score of its patient that is not later than the outcome. Two outcomes of one score count once where
they agree; where they do not, nobody knows which is right, and the score is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from runtime.record_times import NO_TIMESTAMP
from schemas.records import KnownOutcome, ModelRef, Source

Moment = tuple[int, int, int]
"""When and where a record stands: milliseconds since 1970, partition, offset. Later ones are greater."""


class Noted(NamedTuple):
    """An outcome as it was read."""

    moment: Moment
    known: KnownOutcome


class SeenScore(msgspec.Struct, frozen=True):
    """What is needed of a score."""

    patient_id: str
    risk: float
    model: ModelRef
    source: Source | None = None
    label: int = 0


class Pair(NamedTuple):
    """A risk and what was found, in the order in which that became known."""

    moment: Moment
    risk: float
    outcome: int


class LeftOut(msgspec.Struct, frozen=True):
    """What does not count, by why: outcomes, and scores that cannot be read.

    `unreadable` are no outcomes, `older` are beyond the number that is held, `without_score` have no score on the
    topic, `other_patient` name a record of another patient, `repeated` say again what is known of a score,
    `contradictory` are all of those that disagree about one score.
    """

    unreadable: int = 0
    older: int = 0
    without_score: int = 0
    other_patient: int = 0
    repeated: int = 0
    contradictory: int = 0
    unreadable_scores: int = 0


class Joined(msgspec.Struct, frozen=True):
    """Pairs by model, oldest first, and what was left out."""

    pairs: Mapping[ModelRef, list[Pair]]
    left_out: LeftOut


class _Best(NamedTuple):
    """The last score that an outcome can belong to. `place` names the score however often it was repeated."""

    moment: Moment
    risk: float
    model: ModelRef
    place: tuple[Any, ...]


class Join:
    """Takes in outcomes first, then every score once, in any order."""

    def __init__(self, outcomes: Iterable[Noted]) -> None:
        """Keep the outcomes."""
        self._by_source: dict[Source, list[Noted]] = defaultdict(list)
        self._by_patient: dict[str, list[Noted]] = defaultdict(list)
        self._last: dict[Noted, _Best] = {}
        self._named: dict[Source, dict[ModelRef, _Best]] = defaultdict(dict)
        self._patients: dict[Source, str] = {}
        for noted in outcomes:
            source = noted.known.source
            if isinstance(source, Source):
                self._by_source[source].append(noted)
            else:
                self._by_patient[noted.known.patient_id].append(noted)

    def note(self, score: SeenScore, moment: Moment) -> None:
        """Take in a score."""
        place = moment[1:] if score.source is None else (score.source.topic, *msgspec.structs.astuple(score.source)[1:])
        best = _Best(moment, score.risk, score.model, (score.model, *place))
        if score.source in self._by_source:
            self._patients[score.source] = score.patient_id
            of_model = self._named[score.source]
            if moment >= of_model.get(score.model, best).moment:
                of_model[score.model] = best
        for noted in self._by_patient.get(score.patient_id, ()):
            if _in_time(moment, noted.moment) and moment >= self._last.get(noted, best).moment:
                self._last[noted] = best

    def joined(self, *, unreadable: int = 0, older: int = 0, unreadable_scores: int = 0) -> Joined:
        """Put together what belongs together, beside what was left out before."""
        claims: dict[tuple[Any, ...], list[tuple[Noted, _Best]]] = defaultdict(list)
        unscored = others = 0
        for noted in self._outcomes():
            if self._is_of_other_patient(noted):
                others += 1
                continue
            found = self._scores_of(noted)
            unscored += not found
            for best in found:
                claims[best.place].append((noted, best))
        pairs, repeated, contradictory = _settled(claims.values())
        left_out = LeftOut(unreadable, older, unscored, others, repeated, contradictory, unreadable_scores)
        return Joined(pairs, left_out)

    def _outcomes(self) -> Iterator[Noted]:
        for kept in (self._by_source, self._by_patient):
            for noted in kept.values():
                yield from noted

    def _is_of_other_patient(self, noted: Noted) -> bool:
        source = noted.known.source
        scored = self._patients.get(source) if isinstance(source, Source) else None
        return scored is not None and scored != noted.known.patient_id

    def _scores_of(self, noted: Noted) -> list[_Best]:
        source = noted.known.source
        if isinstance(source, Source):
            return list(self._named.get(source, {}).values())
        return [self._last[noted]] if noted in self._last else []


def _in_time(scored: Moment, found: Moment) -> bool:
    """Say whether a score is not later than an outcome; a record without a timestamp forbids nothing."""
    return scored[0] <= found[0] or found[0] == NO_TIMESTAMP


def _settled(claims: Iterable[list[tuple[Noted, _Best]]]) -> tuple[dict[ModelRef, list[Pair]], int, int]:
    """Return pairs by model, and how many outcomes were repeated and contradictory (each counted once a score)."""
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
