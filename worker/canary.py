"""The canary: a challenger that answers for some of the keys, while everybody else gets the champion's scores.

One key gets one model, in any batch and from any worker of the same share. The challenger is on trial for as long as it
is here (`scoring.serving`): no record pays for one that fails where the champion would not, or whose risks jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from runtime import events
from schemas.errors import ArtifactError
from schemas.records import Source
from scoring.pipeline import Outcome, Rejected, Unwrap
from scoring.scorer import Scorer
from scoring.serving import Facts, ModelSource, Serving

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

    def __init__(self, champion: Serving, challenger: Scorer, share: float) -> None:
        """`share` is that of the keys, 0 to 1."""
        self._champion = champion
        self._scorer = challenger
        self._share = KeyShare(share)
        self._challenger: Serving | None = self._on_trial()

    @classmethod
    def load(cls, champion: Serving, source: ModelSource, share: float) -> Canary | None:
        """Load the challenger; one that is broken is told of and not there: the champion can do without."""
        try:
            challenger = source.load()
        except ArtifactError as error:
            events.ModelRefused(f"the canary: {error}").emit()
            return None
        model = challenger.model
        events.CanaryLoaded(model.name, model.version, model.digest, share).emit()
        return cls(champion, challenger, share)

    def process(
        self,
        values: Sequence[bytes | None],
        sources: Sequence[Source | None],
        keys: Sequence[bytes | None],
        unwrap: Unwrap,
    ) -> list[Outcome]:
        """Score a batch as `Serving.process` does, some of it with the challenger. Raises what the champion raises."""
        if self._challenger is None:
            return self._champion.process(values, sources, unwrap)
        if not self._challenger.is_on_trial:
            # Once more, beside what is served by now.
            self._challenger = self._on_trial()
        taken: list[int] = []
        others: list[int] = []
        for place, key in enumerate(keys):
            (taken if self._share.takes(key) else others).append(place)
        outcomes: dict[int, Outcome] = {}
        for serving, places in ((self._champion, others), (self._challenger, taken)):
            own, at = [values[place] for place in places], [sources[place] for place in places]
            outcomes.update(zip(places, serving.process(own, at, _moved(unwrap, places)), strict=True))
        rejected = sum(isinstance(outcomes[place], Rejected) for place in taken)
        events.CanaryScored(len(taken) - rejected, rejected).emit()
        return [outcomes[place] for place in range(len(values))]

    def _on_trial(self) -> Serving:
        challenger = Serving(self._champion.scorer, self._champion.jump_limit, self._end)
        challenger.swap(self._scorer)
        return challenger

    def _end(self, _champion: Facts, reason: str) -> None:
        self._challenger = None
        events.CanaryWithdrawn(reason).emit()


def _moved(unwrap: Unwrap, places: Sequence[int]) -> Unwrap:
    """Return what opens a record by its place among these."""
    return lambda place: unwrap(places[place])
