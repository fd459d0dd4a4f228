"""Engines that compute the same risks: linear tables, compiled trees or pipelines, and scikit-learn itself.

A fast engine is used only after it has reproduced, in this very process, the risks that scikit-learn gave the reference
cases when the model was trained. Written for speed: a batch costs a handful of numpy calls, whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Protocol

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.features import Matrix
from scoring.logistic import logistic
from scoring.missingness import Patterns
from scoring.model_artifact import Artifact
from scoring.pipeline_input import PipelineInput
from scoring.portable_model import Linear, PortableModel, PortablePipeline, is_pipeline, read_portable
from scoring.preprocessing import Plan
from scoring.reference_cases import REFERENCE_CASES, sha256_of
from scoring.reference_results import ReferenceResults
from scoring.submodel_lookup import SubmodelLookup
from scoring.uncertainty import Uncertainty, unknown

Vector = Matrix

_ONE_FOR_ALL: Final = np.zeros(1, dtype=np.int64)
_MOST_CONTRIBUTIONS: Final = 1 << 20
"""8 MB of what codes contribute; a larger table is computed for each batch."""


class Explanation(msgspec.Struct, frozen=True):
    """An engine's results for a batch: risks (n,), 0 to 1, and optional parts.

    `contributions` (n, fields) are exact additions to the log-odds, compared with the average training patient, in the
    order of the engine's `fields`; `log_odds` (n,) are those of the risks.
    """

    risks: Vector
    contributions: Matrix | None = None
    log_odds: Vector | None = None


class Engine(Protocol):
    """Computes risks (n,), 0 to 1, of valid records (n, fields), NaN where missing.

    A row's result does not depend on the other rows: to the last bit for the fast engines; sums of scikit-learn and of
    an imported pipeline may move by 1e-15 with the size of the batch.
    """

    name: str
    tolerance: float
    """The largest accepted difference from scikit-learn."""
    fields: tuple[str, ...]
    """The fields of its contributions; empty if it has none."""
    imputes: bool
    """Whether it imputes missing values, as far as that is known: not of an imported pipeline."""
    has_submodels: bool
    """Whether it has a sub-model for each listed missing pattern."""

    def explain(self, matrix: Matrix) -> Explanation:
        """Score a batch."""
        ...


class SklearnEngine:
    """The fitted scikit-learn preprocessor and classifier: the fallback if there is no fast engine."""

    name = "sklearn"
    tolerance = 0.0
    fields: tuple[str, ...] = ()

    def __init__(self, artifact: Artifact) -> None:
        """Unpickle the fitted objects; raises ArtifactError."""
        self._fitted = artifact.fitted()
        given = self._fitted.preprocessor
        imported = isinstance(given, PipelineInput)
        self.imputes = not imported and bool(getattr(self._fitted.classifier, "imputes", True))
        self.has_submodels = bool(getattr(self._fitted.classifier, "has_submodels", False))
        self._positive = given.positive if imported else 1

    def explain(self, matrix: Matrix) -> Explanation:
        """Score a batch; takes a few milliseconds for any size."""
        probabilities: Matrix = self._fitted.classifier.predict_proba(self._fitted.preprocessor.transform(matrix))
        return Explanation(probabilities[:, self._positive])


class LinearEngine:
    """Logistic regression, one for all records or one for each missing pattern, as sums over the fields."""

    name = "linear"
    tolerance = 1e-12

    def __init__(self, plan: Plan, center: Vector, linear: Linear, compiled: CompiledTable) -> None:
        """Fold the center into the plan: the average patient, and a missing value, is 0 in every column."""
        self._patterns = compiled.patterns
        affine = len(plan.affine)
        self._plan = plan
        self._slope, self._offset = 1 / plan.scale, -plan.mean / plan.scale - center[:affine]
        self._tables = _centered_tables(plan, center[affine:])
        self._codes = _contributions_of_codes(self._tables, linear)
        self._first_columns = plan.first_columns
        self._width = linear.coefficients.shape[1]
        self.imputes = len(linear.intercepts) < compiled.patterns.count
        self.has_submodels = not self.imputes
        columns, covariance = compiled.pattern_columns, linear.covariance
        self._submodels = SubmodelLookup(linear.intercepts, linear.coefficients, covariance, columns, linear.line)
        if covariance is not None:
            self.tolerance = 1e-9  # solving for a derived sub-model loses some digits
        self.fields = tuple(compiled.table.names[j] for j in plan.fields)

    def explain(self, matrix: Matrix) -> Explanation:
        """Score a batch. A row's numbers lie side by side, so numpy adds them in one order in any batch."""
        patterns = _ONE_FOR_ALL if self.imputes else self._patterns.of(matrix)
        if self._codes is not None:
            intercepts, contributions = self._contributions(matrix, patterns, self._codes)
        else:
            intercepts, coefficients = self._submodels.of(patterns)
            contributions = np.add.reduceat(self._design(matrix) * coefficients, self._first_columns, axis=1)
        log_odds = intercepts + contributions.sum(axis=1)
        return Explanation(logistic(log_odds), contributions, log_odds)

    def _contributions(self, matrix: Matrix, patterns: Patterns, codes: Matrix) -> tuple[Vector, Matrix]:
        """Return intercepts, and contributions (n, fields), with those of `codes` (lookup fields, patterns, codes)."""
        intercepts, coefficients = self._submodels.of(patterns)
        fields, submodels, count = codes.shape
        affine = len(self._plan.affine)
        contributions = np.empty((len(matrix), affine + fields))
        np.multiply(self._affine(matrix), coefficients[:, :affine], out=contributions[:, :affine])
        places = self._plan.rows_of(matrix) + np.arange(fields) * (submodels * count) + (patterns * count)[:, None]
        contributions[:, affine:] = codes.take(places)
        return intercepts, contributions

    def _affine(self, matrix: Matrix) -> Matrix:
        """Return the affine columns minus the average training patient; 0 where missing."""
        raw: Matrix = matrix.take(self._plan.affine, axis=1) * self._slope + self._offset
        raw[np.isnan(raw)] = 0.0
        return raw

    def _design(self, matrix: Matrix) -> Matrix:
        """Return the columns (n, columns) minus the average training patient; 0 where missing."""
        plan = self._plan
        design = np.empty((len(matrix), self._width))
        place = len(plan.affine)
        design[:, :place] = self._affine(matrix)
        for table, codes in zip(self._tables, plan.rows_of(matrix).T, strict=True):
            following = place + table.shape[1]
            design[:, place:following] = table.take(codes, axis=0)
            place = following
        return design


def _centered_tables(plan: Plan, center: Vector) -> list[Matrix]:
    ends = np.cumsum([0, *(table.shape[1] for table in plan.tables)])
    parts = (center[start:end] for start, end in pairwise(ends))
    return [np.nan_to_num(table - average) for table, average in zip(plan.tables, parts, strict=True)]


def _contributions_of_codes(tables: Sequence[Matrix], linear: Linear) -> Matrix | None:
    """Return what each code adds to the log-odds: (lookup fields, sub-models, codes); None if there are too many.

    Each number is the sum, to the last bit, that a record's own columns would have.
    """
    submodels, columns = linear.coefficients.shape
    codes = len(tables[0]) if tables else 0
    if linear.covariance is not None or len(tables) * submodels * codes > _MOST_CONTRIBUTIONS:
        return None
    found, place = np.empty((len(tables), submodels, codes)), columns - sum(table.shape[1] for table in tables)
    for field, table in enumerate(tables):
        following = place + table.shape[1]
        weighed = table * linear.coefficients[:, None, place:following]
        found[field] = np.add.reduceat(weighed.reshape(-1, table.shape[1]), [0], axis=1).reshape(submodels, codes)
        place = following
    return found


class TreeEngine:
    """A forest or boosted trees, compiled to ONNX by training. Single-threaded: trees are summed in one order."""

    name = "onnx"
    tolerance = 1e-6
    fields: tuple[str, ...] = ()
    has_submodels = False

    def __init__(self, plan: Plan, center: Vector, onnx: bytes) -> None:
        """Open the compiled trees. `center` is NaN for trees that take missing values."""
        self._plan, self._center = plan, center
        self.imputes = not np.isnan(center).all()
        self._session = _session(onnx)
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[1].name

    def explain(self, matrix: Matrix) -> Explanation:
        """Score a batch. A compiled forest casts its input to float32, as scikit-learn does."""
        columns = self._plan.transform(matrix)
        filled = np.where(np.isnan(columns), self._center, columns)
        probabilities = self._session.run([self._output], {self._input: filled})[0]
        return Explanation(np.asarray(probabilities, dtype=np.float64)[:, 1])


class PipelineEngine:
    """An imported pipeline, compiled to ONNX together with its preprocessing."""

    name = "onnx"
    tolerance = 1e-6
    fields: tuple[str, ...] = ()
    imputes = has_submodels = False

    def __init__(self, pipeline: PipelineInput, onnx: bytes) -> None:
        """Open the compiled pipeline."""
        self._pipeline = pipeline
        self._session = _session(onnx)
        self._inputs = frozenset(each.name for each in self._session.get_inputs())
        self._output = self._session.get_outputs()[1].name

    def explain(self, matrix: Matrix) -> Explanation:
        """Score a batch."""
        probabilities = self._session.run([self._output], self._pipeline.tensors(matrix, self._inputs))[0]
        return Explanation(np.asarray(probabilities, dtype=np.float64)[:, self._pipeline.positive])


def _session(onnx: bytes) -> Any:
    import onnxruntime  # noqa: PLC0415  # 70 MB that a worker with a linear model does without

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


class Prepared(msgspec.Struct, frozen=True):
    """The engine to use, why it is not a fast one (None if it is), and its uncertainty tables.

    `reference_results` are the results for the reference cases that training recorded, in addition to their risks.
    """

    engine: Engine
    fallback_reason: str | None
    uncertainty: Uncertainty
    reference_results: ReferenceResults | None = None


def build_engine(artifact: Artifact, compiled: CompiledTable) -> Prepared:
    """Return the engine to use.

    Raises ArtifactError if there is no fast one and scikit-learn cannot serve the model either. The pickle of a
    compiled pipeline is a stranger's code, and is not opened instead.
    """
    try:
        return _proved_engine(artifact, compiled)
    except Exception as error:  # noqa: BLE001  # whatever a fast engine fails with, scikit-learn may still score
        reason = str(error) if isinstance(error, ArtifactError) else f"{type(error).__name__}: {error}"
    if artifact.onnx is not None and artifact.plain is not None and is_pipeline(artifact.plain):
        raise ArtifactError(f"the compiled pipeline cannot be used: {reason}")
    try:
        return Prepared(SklearnEngine(artifact), reason, unknown(compiled))
    except ArtifactError as error:
        raise ArtifactError(f"no fast engine ({reason}), and scikit-learn cannot score instead: {error}") from error


def _proved_engine(artifact: Artifact, compiled: CompiledTable) -> Prepared:
    """Return the fast engine for the classifier; raises ArtifactError if none reproduces scikit-learn."""
    if artifact.plain is None:
        raise ArtifactError("there is no portable model for this kind of classifier")
    plain = read_portable(artifact.plain)
    cases = compiled.reference_cases
    if plain.reference_cases_sha256 != sha256_of(cases) or plain.reference_risks.shape != (REFERENCE_CASES,):
        raise ArtifactError("the recorded risks are those of other reference cases than this version's")
    engine = _fast_engine(plain, artifact.onnx, compiled)
    difference = float(np.abs(engine.explain(cases).risks - plain.reference_risks).max())
    if not difference <= engine.tolerance:
        raise ArtifactError(f"{engine.name} differs from scikit-learn by {difference:.1e} on reference cases")
    if isinstance(plain, PortablePipeline):
        return Prepared(engine, None, unknown(compiled))
    return Prepared(engine, None, plain.uncertainty, plain.reference_results)


def _fast_engine(plain: PortableModel | PortablePipeline, onnx: bytes | None, compiled: CompiledTable) -> Engine:
    if isinstance(plain, PortablePipeline):
        if onnx is None:
            raise ArtifactError("the pipeline is not compiled")
        return PipelineEngine(plain.pipeline, onnx)
    plain.uncertainty.check(compiled)
    if plain.linear is not None:
        return LinearEngine(plain.plan, plain.center, plain.linear, compiled)
    if onnx is not None:
        return TreeEngine(plain.plan, plain.center, onnx)
    raise ArtifactError("the trees are not compiled")
