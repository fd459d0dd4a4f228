"""Three ways to get the same risks from an artifact: linear tables, a compiled forest, and scikit-learn itself.

A fast engine is used only after it has reproduced, in this very process, the risks that scikit-learn gave the golden
records when the model was trained. Written for speed: a batch costs a handful of numpy calls, whatever its size.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from schemas.errors import ArtifactError
from scoring.artifact import Artifact
from scoring.golden import GOLDEN_ROWS, golden_digest, golden_records
from scoring.matrix import Matrix
from scoring.plain import Linear, PlainModel
from scoring.plan import TABLE_ROWS, Plan

Vector = Matrix


class Engine(Protocol):
    """Turns legal records (n, 13), NaN where missing, into risks (n,), 0 to 1.

    A row's result does not depend on the other rows: to the last bit for the fast engines; scikit-learn's own sums may
    move by 1e-15 with the size of the batch.
    """

    name: str
    tolerance: float
    """Largest difference from scikit-learn that the engine may show."""

    def risks(self, matrix: Matrix) -> Vector:
        """Score a batch."""
        ...


class SklearnEngine:
    """The fitted preprocessor and classifier, as trained: the way out when no fast engine fits."""

    name = "sklearn"
    tolerance = 0.0

    def __init__(self, artifact: Artifact) -> None:
        """Unpickle the fitted objects; raises ArtifactError."""
        self._fitted = artifact.fitted()

    def risks(self, matrix: Matrix) -> Vector:
        """Score a batch; some milliseconds however small it is."""
        probabilities: Matrix = self._fitted.classifier.predict_proba(self._fitted.preprocessor.transform(matrix))
        return probabilities[:, 1]


class LinearEngine:
    """Logistic regression as one number a field: each field adds its log-odds to the intercept."""

    name = "linear"
    tolerance = 1e-12

    def __init__(self, plan: Plan, linear: Linear) -> None:
        """Fold the preprocessor into the coefficients."""
        weights, self._plan = linear.coefficients, plan
        affine = len(plan.affine)
        self._slope = weights[:affine] / plan.scale
        self._offset = -plan.mean * self._slope
        self._missing = plan.fill * self._slope + self._offset
        widths = np.cumsum([affine, *(table.shape[1] for table in plan.tables)])
        spans = zip(plan.tables, widths[:-1], widths[1:], strict=True)
        self._log_odds = np.concatenate([(table * weights[start:stop]).sum(axis=1) for table, start, stop in spans])
        self._first_row = TABLE_ROWS * np.arange(len(plan.tables))
        self._intercept = linear.intercept

    def contributions(self, matrix: Matrix) -> Matrix:
        """Return each field's exact addition to the log-odds, (n, 13), affine fields first, then lookups."""
        raw = matrix.take(self._plan.affine, axis=1)
        affine = np.where(np.isnan(raw), self._missing, raw * self._slope + self._offset)
        picked = self._log_odds.take(self._plan.rows_of(matrix) + self._first_row)
        return np.concatenate([affine, picked], axis=1)

    def risks(self, matrix: Matrix) -> Vector:
        """Score a batch. A row's 13 numbers lie side by side, so numpy adds them in one order in any batch."""
        return logistic(self._intercept + self.contributions(matrix).sum(axis=1))


def logistic(log_odds: Vector) -> Vector:
    """Return 1 / (1 + exp(-x)) without overflow: the exponential is only ever taken of what is not above zero."""
    small = np.exp(-np.abs(log_odds))
    risks: Vector = np.where(log_odds >= 0, 1.0, small) / (1.0 + small)
    return risks


class ForestEngine:
    """The random forest, compiled to ONNX by training. Single-threaded: trees are summed in one order."""

    name = "onnx"
    tolerance = 1e-6

    def __init__(self, plan: Plan, onnx: bytes) -> None:
        """Open the compiled forest."""
        import onnxruntime  # noqa: PLC0415  # 70 MB that a worker with a linear model does without

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._plan = plan
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[1].name

    def risks(self, matrix: Matrix) -> Vector:
        """Score a batch. The compiled forest casts its input to float32, as scikit-learn does."""
        probabilities = self._session.run([self._output], {self._input: self._plan.transform(matrix)})[0]
        return np.asarray(probabilities, dtype=np.float64)[:, 1]


def build_engine(artifact: Artifact) -> tuple[Engine, str | None]:
    """Return the engine to use, and why it is not a fast one (None if it is).

    Raises ArtifactError if there is no fast one and scikit-learn cannot serve the model either.
    """
    try:
        return _proved_engine(artifact), None
    except Exception as error:  # noqa: BLE001  # whatever a fast engine fails with, scikit-learn may still score
        reason = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__}: {error}"
    try:
        return SklearnEngine(artifact), reason
    except ArtifactError as error:
        raise ArtifactError(f"no fast engine ({reason}), and no scikit-learn to score instead: {error}") from error


def _proved_engine(artifact: Artifact) -> Engine:
    """Return the fast engine that fits the classifier; raises ArtifactError where none reproduces scikit-learn."""
    if artifact.plain is None:
        raise ArtifactError("training wrote no plain numbers for this kind of model")
    plain = PlainModel.from_json(artifact.plain)
    if plain.golden_digest != golden_digest() or plain.golden_risks.shape != (GOLDEN_ROWS,):
        raise ArtifactError("the recorded risks are not those of this version's golden records")
    engine = _fast_engine(plain, artifact.onnx)
    difference = float(np.abs(engine.risks(golden_records()) - plain.golden_risks).max())
    if not difference <= engine.tolerance:
        raise ArtifactError(f"{engine.name} differs from scikit-learn by {difference:.1e} on golden records")
    return engine


def _fast_engine(plain: PlainModel, onnx: bytes | None) -> Engine:
    if plain.linear is not None:
        return LinearEngine(plain.plan, plain.linear)
    if onnx is not None:
        return ForestEngine(plain.plan, onnx)
    raise ArtifactError("the forest is not compiled")
