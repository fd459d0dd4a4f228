"""A trained model as numbers in JSON, for the fast engines: it contains no code, and needs no scikit-learn.

A float64 is written in the shortest form that gives the same float64 when it is read; NaN is written as null.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from scoring.features import Matrix
from scoring.pipeline_input import PipelineInput
from scoring.preprocessing import Plan
from scoring.reference_results import ReferenceResults
from scoring.uncertainty import Uncertainty


class Linear(msgspec.Struct, frozen=True, omit_defaults=True):
    """Logistic regressions over the centered columns: one for all records, or one for each missing pattern.

    `intercepts` (models,) are the log-odds of the average training patient, `coefficients` are (models, columns), zero
    where a sub-model does not use a column. `covariance` (columns, columns) is that of the centered training rows, for
    the missing patterns that the model has no sub-model for; None if it has one for each, or one for all records.
    `line` is the intercept and slope that a recalibration has applied to the log-odds, if there is a covariance.
    """

    intercepts: Matrix
    coefficients: Matrix
    covariance: Matrix | None = None
    line: tuple[float, float] = (0.0, 1.0)


class PortableModel(msgspec.Struct, frozen=True):
    """One model without scikit-learn.

    `center` (columns,) is the average training patient after preprocessing, NaN for boosted trees, which take missing
    values. `linear` is None for a forest and boosted trees, which are in their ONNX file. `reference_risks` (1024,) are
    scikit-learn's own risks of the reference cases, which `reference_cases_sha256` identifies. `reference_results` are
    their other results; None in models of versions that did not record them. The names of the three in the file are
    those of existing models.
    """

    plan: Plan
    center: Matrix
    linear: Linear | None
    uncertainty: Uncertainty
    reference_cases_sha256: str = msgspec.field(name="golden_digest")
    reference_risks: Matrix = msgspec.field(name="golden_risks")
    reference_results: ReferenceResults | None = msgspec.field(default=None, name="golden_answers")

    def as_json(self) -> bytes:
        """Write the model; the same model gives the same bytes."""
        return _as_json(self)

    @classmethod
    def from_json(cls, raw: bytes) -> PortableModel:
        """Read a model; raises msgspec.ValidationError or DecodeError for anything else."""
        return msgspec.json.decode(raw, type=cls, dec_hook=_as_array)


class PortablePipeline(msgspec.Struct, frozen=True):
    """An imported pipeline, which is compiled to ONNX as a whole: its input, and its risks of the reference cases."""

    pipeline: PipelineInput
    reference_cases_sha256: str
    reference_risks: Matrix

    def as_json(self) -> bytes:
        """Write the pipeline; the same pipeline gives the same bytes."""
        return _as_json(self)


class _Kind(msgspec.Struct):
    pipeline: dict[str, Any] | None = None


def read_portable(raw: bytes) -> PortableModel | PortablePipeline:
    """Read the portable form of a model; raises msgspec.ValidationError or DecodeError for anything else."""
    if msgspec.json.decode(raw, type=_Kind).pipeline is None:
        return PortableModel.from_json(raw)
    return msgspec.json.decode(raw, type=PortablePipeline, dec_hook=_as_array)


def is_pipeline(raw: bytes) -> bool:
    """Return whether a portable form is that of a whole pipeline; False for anything unreadable."""
    try:
        return msgspec.json.decode(raw, type=_Kind).pipeline is not None
    except msgspec.MsgspecError:
        return False


def _as_json(model: PortableModel | PortablePipeline) -> bytes:
    return msgspec.json.encode(model, enc_hook=_as_list, order="sorted") + b"\n"


def _as_list(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        raise NotImplementedError(f"cannot encode {type(array).__name__}")
    return array.tolist()


def _as_array(_kind: type, numbers: Any) -> Matrix:
    return np.array(numbers, dtype=np.float64)
