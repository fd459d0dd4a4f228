"""Three ways to get the same risks from an artifact: linear tables, a compiled forest, and scikit-learn itself.

A fast engine is used only after it has reproduced scikit-learn's risks on golden records in this very process.
Written for speed: a batch costs a handful of numpy calls, whatever its size.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from schemas.features import FEATURES
from scoring.artifact import Artifact
from scoring.matrix import Matrix
from scoring.plan import TABLE_ROWS, Plan

Vector = Matrix
_GOLDEN_ROWS: Final = 1024
_GOLDEN_SEED: Final = 20240229
_GOLDEN_MISSING_SHARE: Final = 0.3


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
    """The fitted preprocessor and classifier, as trained: the reference, and the way out when no fast engine fits."""

    name = "sklearn"
    tolerance = 0.0

    def __init__(self, artifact: Artifact) -> None:
        """Keep the fitted objects."""
        self._preprocessor, self._classifier = artifact.preprocessor, artifact.classifier

    def risks(self, matrix: Matrix) -> Vector:
        """Score a batch; some milliseconds however small it is."""
        probabilities: Matrix = self._classifier.predict_proba(self._preprocessor.transform(matrix))
        return probabilities[:, 1]


class LinearEngine:
    """Logistic regression as one number a field: each field adds its log-odds to the intercept."""

    name = "linear"
    tolerance = 1e-12

    def __init__(self, plan: Plan, classifier: LogisticRegression) -> None:
        """Fold the preprocessor into the coefficients."""
        weights, self._plan = classifier.coef_[0], plan
        affine = len(plan.affine)
        self._slope = weights[:affine] / plan.scale
        self._offset = -plan.mean * self._slope
        self._missing = plan.fill * self._slope + self._offset
        widths = np.cumsum([affine, *(table.shape[1] for table in plan.tables)])
        spans = zip(plan.tables, widths[:-1], widths[1:], strict=True)
        self._log_odds = np.concatenate([table @ weights[start:stop] for table, start, stop in spans])
        self._first_row = TABLE_ROWS * np.arange(len(plan.tables))
        self._intercept = float(classifier.intercept_[0])

    def contributions(self, matrix: Matrix) -> Matrix:
        """Return each field's exact addition to the log-odds, (n, 13), affine fields first, then lookups."""
        raw = matrix.take(self._plan.affine, axis=1)
        affine = np.where(np.isnan(raw), self._missing, raw * self._slope + self._offset)
        picked = self._log_odds.take(self._plan.rows_of(matrix) + self._first_row)
        return np.concatenate([affine, picked], axis=1)

    def risks(self, matrix: Matrix) -> Vector:
        """Score a batch. A row's 13 numbers lie side by side, so numpy adds them in one order in any batch."""
        log_odds = self._intercept + self.contributions(matrix).sum(axis=1)
        risks: Vector = expit(log_odds)
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


def golden_records() -> Matrix:
    """Return 1,024 legal records, the same each time: random values and the limits, each pattern of missing fields."""
    rng = np.random.default_rng(_GOLDEN_SEED)
    golden = np.empty((_GOLDEN_ROWS, len(FEATURES)))
    for j, feature in enumerate(FEATURES):
        low, high = feature.interval
        if feature.codes:
            golden[:, j] = rng.choice([code for code, _ in feature.codes], _GOLDEN_ROWS)
        elif feature.whole:
            golden[:, j] = rng.integers(int(low), int(high), _GOLDEN_ROWS, endpoint=True)
        else:
            golden[:, j] = rng.uniform(low, high, _GOLDEN_ROWS).round(1)
        golden[2 * j, j], golden[2 * j + 1, j] = low, high
        if not feature.required:
            golden[rng.random(_GOLDEN_ROWS) < _GOLDEN_MISSING_SHARE, j] = np.nan
    return golden


def _fast_engine(artifact: Artifact) -> Engine:
    """Build the engine that fits the classifier; raises TypeError where there is none."""
    plan = Plan.of(artifact.preprocessor)
    if isinstance(artifact.classifier, LogisticRegression):
        return LinearEngine(plan, artifact.classifier)
    if isinstance(artifact.classifier, RandomForestClassifier) and artifact.onnx is not None:
        return ForestEngine(plan, artifact.onnx)
    raise TypeError(f"no fast engine for {type(artifact.classifier).__name__}")


def build_engine(artifact: Artifact) -> tuple[Engine, str | None]:
    """Return the engine to use, and why it is not a fast one (None if it is)."""
    reference = SklearnEngine(artifact)
    try:
        engine = _fast_engine(artifact)
        golden = golden_records()
        difference = _largest_difference(engine.risks(golden), reference.risks(golden))
    except Exception as error:  # noqa: BLE001  # whatever a fast engine fails with, scikit-learn still scores
        return reference, f"{type(error).__name__}: {error}"
    if not difference <= engine.tolerance:
        return reference, f"{engine.name} differs from scikit-learn by {difference:.1e} on golden records"
    return engine, None


def _largest_difference(a: Any, b: Any) -> float:
    return float(np.abs(a - b).max())
