"""The model that an interface scores with, and how another one replaces it between two batches.

A candidate is first loaded in a process of its own (`scoring.isolated_load`), and compared with the model in use on the
last records: one whose risks jump is refused. After the swap it is on trial for a while. A model that fails
on records which the one before can score, or whose risks jump, is withdrawn, and the batch at hand is scored by the one
before: no record pays for a bad model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.drift import ENOUGH_RECORDS, Drift
from scoring.engines import Vector
from scoring.features import Matrix
from scoring.model_source import ModelSource
from scoring.pipeline import MODEL_FAILURE, DecodedBatch, Results
from scoring.scorer import Scorer

TRIAL_RECORDS: Final = 2_000
"""The number of records for which a new model is on trial."""


class Facts(msgspec.Struct, frozen=True):
    """The fields of `runtime.events.ModelLoaded`."""

    name: str
    version: str
    digest: str
    engine: str
    fallback_reason: str | None
    watches_drift: bool
    native_reason: str | None


Withdrawn = Callable[[Facts, str], object]


class Recent(NamedTuple):
    """The last records (n, fields) that were scored, and the risks (n,) that the model in use gave them."""

    matrix: Matrix
    risks: Vector


class ModelManager:
    """The scorer in use. For one thread."""

    def __init__(self, scorer: Scorer, max_score_shift: float = 1.0, withdrawn: Withdrawn = lambda *_: None) -> None:
        """`max_score_shift` is the largest mean difference of two models' risks of the same records; 1: no limit.

        `withdrawn` is called when a model is withdrawn, with the facts of the previous one, and the reason.
        """
        self.scorer = scorer
        self.withdrawn: dict[str, str] = {}
        """Digests of models that had to go, and why."""
        self.max_score_shift = max_score_shift
        self._told = withdrawn
        self._before: Scorer | None = None
        self._trial = 0

    @property
    def compiled(self) -> CompiledTable:
        """The feature table of the model in use; a model with another one is refused."""
        return self.scorer.compiled

    def facts(self) -> Facts:
        """Tell of the model in use."""
        scorer, model = self.scorer, self.scorer.model
        return Facts(
            model.name,
            model.version,
            model.digest,
            scorer.engine,
            scorer.fallback_reason,
            scorer.window is not None,
            scorer.native_reason,
        )

    def recent(self) -> Recent | None:
        """Return the last records, None if drift is not monitored or there are too few.

        If a new model has scored too few, they are those of the previous one.
        """
        recent = recent_records(self.scorer)
        if recent is None and self._before is not None and (before := recent_records(self._before)) is not None:
            recent = Recent(before.matrix, self.scorer.risks(before.matrix))
        return recent

    def drift(self) -> Drift:
        """Compare the last records with the training rows; without records if drift is not monitored."""
        if self.scorer.window is not None:
            return self.scorer.window.measure()
        return Drift(self.scorer.model.name, 0, {}, {}, {}, None)

    def swap(self, scorer: Scorer) -> None:
        """Score with another model from the next batch on, on trial."""
        self._before, self.scorer, self._trial = self.scorer, scorer, TRIAL_RECORDS

    def score(self, batch: DecodedBatch) -> Results:
        """Score a batch with the model in use. Raises ArtifactError when the model is broken."""
        return score_watched(self.scorer, batch) if self._before is None else self._try(batch, self._before)

    def _try(self, batch: DecodedBatch, before: Scorer) -> Results:
        """Score a batch with the model on trial; if it is withdrawn, with the previous one."""
        results = score_on_trial(self.scorer, batch, partial(score_watched, before), partial(self._go_back, before))
        if self._before is None:
            return results
        self._trial -= len(results)
        recent = recent_records(self.scorer) if self._trial <= 0 else None
        if recent is not None and (reason := score_shift(recent, before, self.max_score_shift)):
            self._go_back(before, reason)
            return score_watched(before, batch)
        # Large batches show the window few of their records: the trial lasts until there are enough.
        if self._trial <= 0 and (recent is not None or self.scorer.window is None):
            self._before = None
        return results

    def _go_back(self, before: Scorer, reason: str) -> None:
        self.withdrawn[self.scorer.model.digest] = reason
        self.scorer, self._before = before, None
        self._told(self.facts(), reason)


class UpdateFinder:
    """Checks for another model, and prepares it while the current one is in use."""

    def __init__(self, source: ModelSource, manager: ModelManager) -> None:
        self._source = source
        self._manager = manager
        self._refused: tuple[object, str] = (None, "")

    def swap(self, scorer: Scorer) -> Facts:
        """Let a candidate take over."""
        self._manager.swap(scorer)
        return self._manager.facts()

    def find_update(self) -> Callable[[], Scorer | None]:
        """Return a function to call in another thread: it blocks for seconds if there is a candidate.

        It returns the candidate, ready to be used, or None. It raises ArtifactError on each call if the candidate is
        unusable, but verifies the same one once.
        """
        manager = self._manager
        current, recent, withdrawn = manager.scorer.model.digest, manager.recent(), dict(manager.withdrawn)

        def found() -> Scorer | None:
            digest = self._source.digest()
            if digest == current:
                return None
            if digest in withdrawn:
                raise ArtifactError(f"model {digest} was withdrawn: {withdrawn[digest]}")
            refused, reason = self._refused
            # A model that is still being copied is refused until it is whole.
            if refused == (seen := (digest, self._source.marks())):
                raise ArtifactError(reason)
            try:
                return self._prepared(recent)
            except ArtifactError as error:
                self._refused = (seen, str(error))
                raise

        return found

    def _prepared(self, recent: Recent | None) -> Scorer:
        """Prove, load and try what is there now. Raises ArtifactError."""
        scorer = self._source.load_verified()
        if reason := other_table(self._manager.scorer, scorer):
            raise ArtifactError(f"model {scorer.model.digest}: {reason}")
        reason = None if recent is None else score_shift(recent, scorer, self._manager.max_score_shift)
        if reason is not None:
            raise ArtifactError(f"model {scorer.model.digest}: {reason}")
        return scorer


def other_table(scorer: Scorer, other: Scorer) -> str | None:
    """Describe the difference of two models' feature tables, None if they are the same: records have one table."""
    ours, theirs = scorer.compiled.table, other.compiled.table
    if ours.digest == theirs.digest:
        return None
    if ours.identifier == theirs.identifier:
        return f"its feature table has the name {theirs.identifier} as well, but another content"
    return f"its feature table is {theirs.identifier}, not {ours.identifier}: serve it apart, with topics of its own"


def score_shift(recent: Recent, other: Scorer, limit: float) -> str | None:
    """Describe the mean difference of two models' risks of the same records, if it is above the limit.

    Two good models of different kinds differ by at most 0.13 on the four hospitals of the training data; one with
    inverted labels by at least 0.37.
    """
    try:
        difference = float(np.abs(other.risks(recent.matrix) - recent.risks).mean())
    except Exception as error:  # noqa: BLE001  # whatever a model raises
        return f"it fails on records of the last minutes ({type(error).__name__})"
    # NaN is not within any limit.
    if difference <= limit:
        return None
    return (
        f"the risks of {len(recent.risks)} records differ by {difference:.3f} on average from those of the other "
        f"model, more than {limit:g}"
    )


def recent_records(scorer: Scorer) -> Recent | None:
    """Return the records that a model has scored last, None if there are too few or drift is not monitored."""
    if scorer.window is None:
        return None
    recent = Recent(*scorer.window.recent())
    return recent if len(recent.risks) >= ENOUGH_RECORDS else None


def score_watched(scorer: Scorer, batch: DecodedBatch) -> Results:
    """Score a batch, and show the results to the model's drift window, if it has one."""
    results = scorer.score(batch)
    if scorer.window is not None:
        scorer.window.add(results.matrix, results.risks)
    return results


def score_on_trial(
    scorer: Scorer,
    batch: DecodedBatch,
    other: Callable[[DecodedBatch], Results],
    withdraw: Callable[[str], None],
) -> Results:
    """Score a batch; if the model breaks, or fails on a record that `other` can score, use the results of `other`.

    Calls `withdraw` with the reason first.
    """
    try:
        results = score_watched(scorer, batch)
    except ArtifactError as error:
        withdraw(str(error))
        return other(batch)
    if failed := _failures(results):
        again = other(batch)
        if failed - _failures(again):
            withdraw("it fails on records that the other model can score")
            return again
    return results


def _failures(results: Results) -> set[int]:
    """Return the positions of the records on which the model failed."""
    return {position for position, issues in results.rejected.items() if issues == MODEL_FAILURE}
