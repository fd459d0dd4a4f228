"""One loaded model, ready to score: risks, labels, and what a reader must know about each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from schemas.codec import Remarks, ScoreEncoder
from schemas.errors import ArtifactError
from schemas.features import FEATURE_NAMES
from schemas.records import PatientRecord, ScoreWarning, Source, WarningCode
from scoring.artifact import Artifact, Manifest, load
from scoring.engines import Vector, build_engine
from scoring.golden import golden_records
from scoring.matrix import Matrix

RISK_DECIMALS: Final = 6
_BITS: Final = 1 << np.arange(len(FEATURE_NAMES), dtype=np.int64)
_SHIFT: Final = len(FEATURE_NAMES)
_REMEMBERED_PATTERNS: Final = 4096
"""Real data has some 50; the bound keeps memory flat under made-up data."""


class Scorer:
    """Scores batches with one verified model.

    `engine` names the way it computes ("linear", "onnx" or "sklearn"); `fallback_reason` says why it is not a fast
    one. Not safe to share between threads.
    """

    def __init__(self, artifact: Artifact) -> None:
        """Choose and prove the engine, and remember what it makes of the golden records."""
        self._engine, self.fallback_reason = build_engine(artifact)
        self.manifest: Manifest = artifact.manifest
        self.model = artifact.model
        self._encoder = ScoreEncoder(artifact.model, artifact.manifest.threshold)
        ranges = [artifact.manifest.training_range[name] for name in FEATURE_NAMES]
        self._lowest, self._highest = np.array(ranges).T
        self._remarks: dict[int, Remarks] = {}
        try:
            self._golden_risks = self.risks(golden_records())
        except Exception as error:
            raise ArtifactError(f"the model fails on golden records: {type(error).__name__}: {error}") from error
        if not are_probabilities(self._golden_risks):
            raise ArtifactError("the model gives risks outside 0 to 1 on golden records")

    @property
    def engine(self) -> str:
        """The name of the engine in use."""
        return self._engine.name

    @classmethod
    def from_directory(cls, folder: Path, name: str | None = None) -> Scorer:
        """Load and prove a model directory; raises ArtifactError. Blocks for some milliseconds."""
        return cls(load(folder, name))

    def risks(self, matrix: Matrix) -> Vector:
        """Score legal records (n, 13); returns risks (n,), 0 to 1, to six decimals."""
        return np.round(self._engine.risks(matrix), RISK_DECIMALS)

    def is_sound(self) -> bool:
        """Say whether the model still makes of the golden records what it made when it was loaded."""
        try:
            return bool(np.array_equal(self.risks(golden_records()), self._golden_risks))
        except Exception:  # noqa: BLE001  # a model that raises is not sound, whatever it raises
            return False

    def remarks(self, matrix: Matrix) -> list[Remarks]:
        """Return what is missing and out of the training range in each record (n, 13). Patterns are made once each."""
        missing = np.isnan(matrix)
        outside = (matrix < self._lowest) | (matrix > self._highest)
        patterns = (missing @ _BITS) | ((outside @ _BITS) << _SHIFT)
        known = self._remarks
        return [known.get(pattern) or self._new_remarks(pattern) for pattern in patterns.tolist()]

    def _new_remarks(self, pattern: int) -> Remarks:
        missing = tuple(name for j, name in enumerate(FEATURE_NAMES) if pattern >> j & 1)
        outside = tuple(name for j, name in enumerate(FEATURE_NAMES) if pattern >> (j + _SHIFT) & 1)
        warnings = (
            *(ScoreWarning(WarningCode.IMPUTED, name) for name in missing),
            *(ScoreWarning(WarningCode.OUT_OF_TRAINING_RANGE, name) for name in outside),
        )
        if len(self._remarks) >= _REMEMBERED_PATTERNS:
            self._remarks.clear()
        remarks = self._remarks[pattern] = Remarks.of(missing, warnings)
        return remarks

    def encode(
        self, records: Sequence[PatientRecord], matrix: Matrix, risks: Vector, sources: Sequence[Source | None]
    ) -> list[bytes]:
        """Write one score a record as JSON."""
        return self._encoder.encode(records, risks.tolist(), self.remarks(matrix), sources)


def are_probabilities(risks: Vector) -> bool:
    """Say whether all risks lie between 0 and 1; NaN does not."""
    return not len(risks) or bool(risks.min() >= 0 and risks.max() <= 1)
