"""The canary: a challenger scores the records of some keys, and the champion all others.

Its risks are compared with the champion's before its first record and regularly afterwards. The champion scores what
the challenger cannot, and everything once the challenger is withdrawn.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from runtime import events
from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.model_manager import (
    TRIAL_RECORDS,
    ModelManager,
    other_table,
    recent_records,
    score_on_trial,
    score_shift,
)
from scoring.model_source import ModelSource
from scoring.pipeline import DecodedBatch, Results, merged
from scoring.scorer import Scorer

_BYTES: Final = 8


class KeySampler:
    """Selects a share of the keys, independent of partitions; a larger share includes the keys of a smaller one."""

    def __init__(self, share: float) -> None:
        """`share` is 0 to 1."""
        whole = 1 << 8 * _BYTES
        # One byte longer than a digest: greater than all of them.
        self._limit = b"\xff" * (_BYTES + 1) if share >= 1 else int(share * whole).to_bytes(_BYTES)

    def selects(self, key: bytes | None) -> bool:
        """Whether records with this key are selected; those without a key are not."""
        return key is not None and blake2b(key, digest_size=_BYTES).digest() < self._limit


class Canary:
    """Splits each batch between champion and challenger. Not thread-safe."""

    def __init__(self, champion: ModelManager, challenger: Scorer, share: float) -> None:
        """`share` is the share of the keys, 0 to 1."""
        self._champion = champion
        self._challenger: Scorer | None = challenger
        self._keys = KeySampler(share)
        self._is_compared = False
        self._uncompared = 0

    @classmethod
    def load(cls, champion: ModelManager, source: ModelSource, share: float) -> Canary | None:
        """Verify the challenger in a process of its own and load it; blocks for seconds.

        A challenger that fails to load, or has another feature table, is logged and skipped: returns None.
        """
        try:
            challenger = source.load_verified()
        except ArtifactError as error:
            events.CanaryRefused(str(error)).emit()
            return None
        model = challenger.model
        if reason := other_table(champion.scorer, challenger):
            events.CanaryRefused(f"model {model.digest}: {reason}").emit()
            return None
        events.CanaryLoaded(model.name, model.version, model.digest, share).emit()
        return cls(champion, challenger, share)

    @property
    def compiled(self) -> CompiledTable:
        """The feature table of both models."""
        return self._champion.compiled

    def score(self, batch: DecodedBatch) -> Results:
        """Score a batch, the selected keys with the challenger. Raises what the champion raises."""
        challenger = self._active_challenger()
        if challenger is None:
            return self._champion.score(batch)
        selected, others = batch.split(list(map(self._keys.selects, batch.keys)))
        # The champion first: the challenger is compared with the model that scored this batch.
        champion_results = self._champion.score(others)
        return merged(champion_results, self._try(challenger, selected))

    def _active_challenger(self) -> Scorer | None:
        """Return the challenger if it may score; with drift monitoring, only after a first comparison."""
        if self._challenger is None or self._is_compared:
            return self._challenger
        recent = self._champion.recent()
        if recent is None and self._champion.scorer.window is not None:
            return None
        reason = None if recent is None else score_shift(recent, self._challenger, self._champion.max_score_shift)
        if reason is not None:
            self._withdraw(reason)
        self._is_compared = True
        return self._challenger

    def _try(self, challenger: Scorer, batch: DecodedBatch) -> Results:
        """Score records with the challenger, or with the champion if the challenger is withdrawn."""
        results = score_on_trial(challenger, batch, self._champion.score, self._withdraw)
        if self._challenger is None:
            return results
        if reason := self._score_shift(challenger, len(results)):
            self._withdraw(reason)
            return self._champion.score(batch)
        events.CanaryScored(results.scored, len(results.rejected)).emit()
        return results

    def _score_shift(self, challenger: Scorer, records: int) -> str | None:
        """Compare its last risks with the champion's, once every `TRIAL_RECORDS`; return a shift that is too large."""
        self._uncompared += records
        recent = recent_records(challenger) if self._uncompared >= TRIAL_RECORDS else None
        if recent is None:
            return None
        self._uncompared = 0
        return score_shift(recent, self._champion.scorer, self._champion.max_score_shift)

    def _withdraw(self, reason: str) -> None:
        self._challenger = None
        events.CanaryWithdrawn(reason).emit()
