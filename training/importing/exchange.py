"""What the process of `heartstream model import` and the separate one exchange, as files of a temporary folder."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from scoring.pipeline_input import PipelineInput

TABLE: Final = "feature-table.json"
SOURCE: Final = "source"
"""The content of the file that is imported."""
ROWS: Final = "rows.npy"
"""The rows of the labelled file (n, fields)."""
POSITIVE: Final = "positive.json"
"""The value of `--positive`, or null."""
CASE_RISKS: Final = "case-risks.npy"
ROW_RISKS: Final = "row-risks.npy"
PICKLE: Final = "pipeline.joblib"
"""A pickle of what a file of skops contains."""
ONNX: Final = "pipeline.onnx"
ANSWER: Final = "answer.json"


class Step(StrEnum):
    """What the separate process does."""

    INSPECT = "inspect"
    """Open the file, and score reference cases and rows by scikit-learn."""
    COMPILE = "compile"
    """Compile it, and compare its risks with those."""


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Why the file is refused, or not compiled."""

    reason: str


class Inspected(msgspec.Struct, frozen=True, tag="inspected"):
    """A fitted pipeline that can be served.

    `kind` is its class, with those of its steps; `params` are the simple parameters of its classifier, `unused` the
    fields that change no risk.
    """

    pipeline: PipelineInput
    classes: tuple[str, ...]
    kind: str
    params: dict[str, str | int | float | bool | None]
    unused: tuple[str, ...]


class Compiled(msgspec.Struct, frozen=True, tag="compiled"):
    """A pipeline in ONNX, and its largest difference from scikit-learn on reference cases and rows."""

    difference: float
