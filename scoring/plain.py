"""What a fast engine needs of a trained model, as numbers in JSON: nothing in it can run, and no scikit-learn reads it.

A float64 is written in the shortest form that gives the same float64 when it is read.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from scoring.matrix import Matrix
from scoring.plan import Plan


class Linear(msgspec.Struct, frozen=True):
    """A logistic regression: a coefficient for each column that the plan gives, (22,), and the intercept."""

    coefficients: Matrix
    intercept: float


class PlainModel(msgspec.Struct, frozen=True):
    """One model without scikit-learn.

    `golden_risks` (1024,) are scikit-learn's own risks of the golden records, `golden_digest` the SHA-256 of those
    records. `linear` is None for a forest, whose trees are in its ONNX file.
    """

    plan: Plan
    linear: Linear | None
    golden_digest: str
    golden_risks: Matrix

    def as_json(self) -> bytes:
        """Write the model; the same model gives the same bytes."""
        return msgspec.json.encode(self, enc_hook=_as_list, order="sorted") + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> PlainModel:
        """Read a model; raises msgspec.ValidationError or DecodeError for anything else."""
        return msgspec.json.decode(raw, type=cls, dec_hook=_as_array)


def _as_list(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        raise NotImplementedError(f"no plain form for {type(array).__name__}")
    return array.tolist()


def _as_array(_kind: type, numbers: Any) -> Matrix:
    return np.array(numbers, dtype=np.float64)
