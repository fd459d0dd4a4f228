"""One loaded model, ready to score: risks, with details and warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from schemas.codec import EncodableScore, Optional, encode_score_lines, encode_scores, input_digest
from schemas.errors import ArtifactError
from schemas.records import Details
from scoring.batches import reference_batches
from scoring.compiled_table import CompiledTable
from scoring.details import ScoreDetails, outwards
from scoring.drift import Window
from scoring.engines import Explanation, Vector, build_engine
from scoring.extension import NativeMode, UnavailableError, load_extension
from scoring.features import Mask, Matrix
from scoring.model_artifact import Artifact, Manifest, load
from scoring.native_decoder import NativeDecoder
from scoring.native_encoder import NativeEncoder
from scoring.pipeline import MODEL_FAILURE, Batch, DecodedBatch, Results
from scoring.reference_results import check_reference_results, reference_results
from scoring.uncertainty import Intervals, Lookup, Uncertainty

RISK_DECIMALS: Final = 6


class Scorer:
    """Scores batches with one verified model.

    `engine` is its name ("linear", "onnx" or "sklearn"); `fallback_reason` says why it is not a fast one. `uncertainty`
    has the tables of intervals and label sets; `window` observes the results of this model, if drift is monitored;
    `cards` and `report` are the artifact's. `native_reason` says why the native core is not in use, None if it is. Not
    thread-safe.
    """

    def __init__(
        self,
        artifact: Artifact,
        details: Details = Details(),  # noqa: B008  # it is frozen
        window_records: int = 0,
        native: NativeMode = "auto",
    ) -> None:
        """Select and verify the engine, and keep its results for the reference cases.

        `window_records` is the size of the drift window, if the artifact has a reference.
        """
        self.compiled = compiled = CompiledTable(artifact.table, artifact.manifest.missing_patterns)
        prepared = build_engine(artifact, compiled)
        self._engine, self.fallback_reason = prepared.engine, prepared.fallback_reason
        self.uncertainty: Uncertainty = prepared.uncertainty
        self._lookup = Lookup(prepared.uncertainty, compiled)
        self.details = details
        self.manifest: Manifest = artifact.manifest
        self.model = artifact.model
        self.cards, self.report = artifact.cards, artifact.report
        self._details = ScoreDetails(artifact, self._engine, self._lookup, details, compiled)
        self.window = _new_window(artifact, window_records, compiled)
        try:
            found = self.explain(compiled.reference_cases)
            self._reference_risks, intervals = found.risks, self.intervals(compiled.reference_cases, found)
        except Exception as error:
            raise ArtifactError(f"the model fails on reference cases: {type(error).__name__}: {error}") from error
        if not are_probabilities(self._reference_risks):
            raise ArtifactError("the model gives risks outside 0 to 1 on reference cases")
        if intervals is not None and not _hold(intervals, self._reference_risks):
            raise ArtifactError("the model's intervals do not contain the risks of reference cases")
        if prepared.reference_results is not None:
            ranges = artifact.manifest.training_range
            found_results = reference_results(found.log_odds, prepared.uncertainty, ranges, compiled)
            check_reference_results(prepared.reference_results, found_results)
        self._encoder: NativeEncoder | None = None
        self.native_reason = self._start_native(native)
        if native == "required" and self.native_reason is not None:
            raise ArtifactError(f"the native core is required, and cannot be used: {self.native_reason}")

    def _start_native(self, mode: NativeMode) -> str | None:
        """Use the native core if its bytes for the reference cases are the same; otherwise return the reason."""
        compiled = self.compiled
        try:
            extension = load_extension(mode, len(compiled.table.features))
        except UnavailableError as error:
            return str(error)
        batches = reference_batches(compiled)
        expected = self._reference_bytes(batches)
        try:
            compiled.native = NativeDecoder(extension, compiled.table)
            self._encoder = NativeEncoder(extension, self._details)
            if self._reference_bytes(batches) == expected:
                return None
            problem = "it gives other bytes for the reference cases"
        except Exception as error:  # noqa: BLE001  # such as one that was built from older code of the same version
            problem = f"it fails on the reference cases: {type(error).__name__}: {error}"
        compiled.native = self._encoder = None
        return problem

    def _reference_bytes(self, batches: Sequence[Batch]) -> list[bytes]:
        """Return numbers and scores of the reference cases as messages, lines and columns."""
        messages, lines, columns = (batch.decode(self.compiled) for batch in batches)
        scores = [*encode_scores(self.score(messages).scores), encode_score_lines(self.score(lines).scores)]
        return [*scores, *(decoded.matrix.tobytes() for decoded in (messages, lines, columns))]

    @property
    def engine(self) -> str:
        """The name of the engine in use."""
        return self._engine.name

    @classmethod
    def from_directory(
        cls,
        folder: Path,
        name: str | None = None,
        details: Details = Details(),  # noqa: B008  # it is frozen
        public_key: bytes | None = None,
        window_records: int = 0,
        native: NativeMode = "auto",
    ) -> Scorer:
        """Load and verify a model directory; with a key (PEM) it must be signed. Blocks for a few milliseconds.

        Raises ArtifactError.
        """
        return cls(load(folder, name, public_key), details, window_records, native)

    def explain(self, matrix: Matrix) -> Explanation:
        """Score valid records (n, fields). The risks (n,), 0 to 1, have six decimals."""
        found = self._engine.explain(matrix)
        return msgspec.structs.replace(found, risks=np.round(found.risks, RISK_DECIMALS))

    def intervals(self, matrix: Matrix, found: Explanation) -> Intervals | None:
        """Return the 90% intervals of scored records (n, fields); None if the model has none."""
        if found.log_odds is None:
            return None
        intervals = self._lookup.intervals(found.log_odds, self.compiled.cells_of(matrix))
        return None if intervals is None else outwards(intervals)

    def risks(self, matrix: Matrix) -> Vector:
        """Score valid records (n, fields); returns risks (n,), 0 to 1, to six decimals."""
        return self.explain(matrix).risks

    def self_check(self) -> bool:
        """Return whether the model reproduces its results for the reference cases from when it was loaded."""
        try:
            return bool(np.array_equal(self.risks(self.compiled.reference_cases), self._reference_risks))
        except Exception:  # noqa: BLE001  # a model that raises anything is broken
            return False

    def score(self, batch: DecodedBatch) -> Results:
        """Score a batch. A score does not depend on the other records. Records on which the model fails are rejected.

        Raises ArtifactError if the model itself is broken.
        """
        found = self._attempt(batch.matrix)
        if found is None or not are_probabilities(found.risks):
            batch = self._without_culprits(batch)
            found = self._attempt(batch.matrix)
            if found is None:
                raise ArtifactError("the model fails on records that it has just scored")
        build = partial(self._built, batch, found)
        scores = build() if self._encoder is None else self._encoder.scores(batch, found, self._digests(batch), build)
        labels, models = found.risks >= self.manifest.threshold, [self.model] * len(scores)
        return Results(
            batch.positions, batch.matrix, found.risks, labels, scores, models, batch.rejected, batch.declared
        )

    def _built(self, batch: DecodedBatch, found: Explanation) -> Sequence[EncodableScore]:
        """Return the scores as objects."""
        return self._details.builder.scores(
            batch.patient_ids,
            self._details.columns(batch.matrix, found),
            repeat(None) if batch.sources is None else map(batch.sources.__getitem__, batch.positions),
            self._digests(batch),
        )

    def _digests(self, batch: DecodedBatch) -> Iterable[str | Optional]:
        """Return the digest of each record's bytes: a row of a table has none."""
        if not self.details.input_digest:
            return repeat(msgspec.UNSET)
        values = batch.values
        if values is None:
            return repeat(None)
        return (None if (value := values[position]) is None else input_digest(value) for position in batch.positions)

    def _without_culprits(self, batch: DecodedBatch) -> DecodedBatch:
        """Reject the records on which the model fails; raises ArtifactError if the model itself is broken."""
        if not self.self_check():
            raise ArtifactError("the model no longer reproduces its own results on reference cases")
        scored = self._isolate(batch.matrix)
        culprits = [batch.positions[row] for row in np.flatnonzero(~scored).tolist()]
        rejected = {**batch.rejected, **dict.fromkeys(culprits, MODEL_FAILURE)}
        return batch.where(scored, dict(sorted(rejected.items())))

    def _attempt(self, matrix: Matrix) -> Explanation | None:
        """Score a batch; None if the model raises: reference cases show later whether it or a record is the cause."""
        if not len(matrix):
            return Explanation(np.empty(0))
        try:
            return self.explain(matrix)
        except Exception:  # noqa: BLE001  # whatever a model raises
            return None

    def _isolate(self, matrix: Matrix) -> Mask:
        """Return which records can be scored: while the model raises, the batch is bisected."""
        found = self._attempt(matrix)
        if found is not None:
            scored: Mask = (found.risks >= 0) & (found.risks <= 1)
            return scored
        if len(matrix) == 1:
            return np.array([False])
        middle = len(matrix) // 2
        return np.concatenate([self._isolate(matrix[:middle]), self._isolate(matrix[middle:])])


def _new_window(artifact: Artifact, records: int, compiled: CompiledTable) -> Window | None:
    if artifact.reference is None or not records:
        return None
    return Window(artifact.reference, artifact.model.name, artifact.manifest.training_range, records, compiled)


def _hold(intervals: Intervals, risks: Vector) -> bool:
    """Return whether each interval that the model has contains its risk."""
    absent = np.isnan(intervals.low) & np.isnan(intervals.high)
    within = (intervals.low >= 0) & (intervals.low <= risks) & (risks <= intervals.high) & (intervals.high <= 1)
    return bool((within | absent).all())


def are_probabilities(risks: Vector) -> bool:
    """Return whether all risks are between 0 and 1; NaN is not."""
    return not len(risks) or bool(risks.min() >= 0 and risks.max() <= 1)
