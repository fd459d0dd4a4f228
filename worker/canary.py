"""The canary: a challenger that answers for some of the keys, while everybody else gets the champion's scores.

It is held against the champion before its first record and again and again after it; the champion scores what it
cannot, and answers for all as soon as it has to go.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from runtime import events
from schemas.errors import ArtifactError
from scoring.model_manager import TRIAL_RECORDS, ModelManager, ModelSource, recent_records, score_on_trial, score_shift
from scoring.pipeline import DecodedBatch, Results, merged
from scoring.scorer import Scorer

_BYTES: Final = 8


class KeyShare:
    """Which keys are taken: a share of them, whatever their partition; a larger share has those of a smaller one."""

    def __init__(self, share: float) -> None:
        """`share` is 0 to 1."""
        whole = 1 << 8 * _BYTES
        # One byte more than a digest has is above all of them.
        self._limit = b"\xff" * (_BYTES + 1) if share >= 1 else int(share * whole).to_bytes(_BYTES)

    def takes(self, key: bytes | None) -> bool:
        """Say whether the records of a key are taken; those without a key are not."""
        return key is not None and blake2b(key, digest_size=_BYTES).digest() < self._limit


class Canary:
    """Parts each batch among champion and challenger. For one thread."""

    def __init__(self, champion: ModelManager, challenger: Scorer, share: float) -> None:
        """`share` is that of the keys, 0 to 1."""
        self._champion = champion
        self._challenger: Scorer | None = challenger
        self._share = KeyShare(share)
        self._is_admitted = False
        self._unjudged = 0

    @classmethod
    def load(cls, champion: ModelManager, source: ModelSource, share: float) -> Canary | None:
        """Prove the challenger in a process of its own, and load it; blocks for seconds.

        One that is broken is told of and not there: the champion can do without.
        """
        try:
            challenger = source.load_proved()
        except ArtifactError as error:
            events.CanaryRefused(str(error)).emit()
            return None
        model = challenger.model
        events.CanaryLoaded(model.name, model.version, model.digest, share).emit()
        return cls(champion, challenger, share)

    def score(self, batch: DecodedBatch) -> Results:
        """Score a batch, some of its keys with the challenger. Raises what the champion raises."""
        challenger = self._admitted()
        if challenger is None:
            return self._champion.score(batch)
        ours, others = batch.split(list(map(self._share.takes, batch.keys)))
        # The champion first: what it is by then is what the challenger is held against.
        of_others = self._champion.score(others)
        return merged(of_others, self._try(challenger, ours))

    def _admitted(self) -> Scorer | None:
        """Return the challenger if it may answer: where drift is watched, the champion's last records come first."""
        if self._challenger is None or self._is_admitted:
            return self._challenger
        recent = self._champion.recent()
        if recent is None and self._champion.scorer.window is not None:
            return None
        reason = None if recent is None else score_shift(recent, self._challenger, self._champion.max_score_shift)
        if reason is not None:
            self._withdraw(reason)
        self._is_admitted = True
        return self._challenger

    def _try(self, challenger: Scorer, batch: DecodedBatch) -> Results:
        """Score records with the challenger; where that has to go, with the champion."""
        results = score_on_trial(challenger, batch, self._champion.score, self._withdraw)
        if self._challenger is None:
            return results
        if reason := self._jumped(challenger, len(results)):
            self._withdraw(reason)
            return self._champion.score(batch)
        events.CanaryScored(results.scored, len(results.rejected)).emit()
        return results

    def _jumped(self, challenger: Scorer, records: int) -> str | None:
        """Say, every so many of its records, how its risks of the last ones jump from the champion's."""
        self._unjudged += records
        recent = recent_records(challenger) if self._unjudged >= TRIAL_RECORDS else None
        if recent is None:
            return None
        self._unjudged = 0
        return score_shift(recent, self._champion.scorer, self._champion.max_score_shift)

    def _withdraw(self, reason: str) -> None:
        self._challenger = None
        events.CanaryWithdrawn(reason).emit()
