"""The separate process of `heartstream model import`, the only one that opens the imported file.

`python -m training.importing.isolated FOLDER STEP` reads and writes the files of `exchange`. Limits on memory, time and
file size hold; the file's code could still read other files, as `scoring.isolated_load` says.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np

from schemas.errors import ArtifactError
from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.engines import PipelineEngine
from scoring.isolated_load import LIMITS, limit_resources
from scoring.pipeline_input import PipelineInput
from training.arrays import Matrix, Risks
from training.export.model_directory import as_joblib
from training.importing import estimators, exchange
from training.importing.columns import pipeline_input, positive_class
from training.importing.exchange import Compiled, Inspected, Refusal, Step
from training.importing.onnx_compiler import compile_pipeline
from training.importing.probing import Probe, depends_on_batch

_LIMITS: Final[Mapping[int, int]] = {**LIMITS, resource.RLIMIT_CPU: 120, resource.RLIMIT_FSIZE: 1 << 30}
"""Compiling hundreds of trees takes half a minute; some conversions do not end."""


def main(folder: Path, step: Step) -> None:
    """Do one step and write the answer."""
    limit_resources(_LIMITS)
    answer: Inspected | Compiled | Refusal
    try:
        # Threads would need address space, and change sums.
        with joblib.parallel_config(backend="sequential"):
            answer = _inspect(folder) if step is Step.INSPECT else _compile(folder)
    except ArtifactError as error:
        answer = Refusal(str(error))
    (folder / exchange.ANSWER).write_bytes(msgspec.json.encode(answer))


def _opened(folder: Path) -> tuple[Any, PipelineInput, CompiledTable]:
    content = (folder / exchange.SOURCE).read_bytes()
    compiled = CompiledTable(FeatureTable.from_json((folder / exchange.TABLE).read_bytes()))
    chosen = msgspec.json.decode((folder / exchange.POSITIVE).read_bytes(), type=str | None)
    estimator = estimators.open_estimator(content)
    positive = positive_class(estimators.classes_of(estimator), chosen, compiled.table.outcome)
    names, count = estimators.names_of(estimator), estimators.count_of(estimator)
    return estimator, pipeline_input(names, count, compiled.table, positive), compiled


def _inspect(folder: Path) -> Inspected:
    """Score reference cases and rows by scikit-learn. Raises ArtifactError, without values of the rows."""
    estimator, pipeline, compiled = _opened(folder)
    probe = Probe(estimator, pipeline, compiled)
    np.save(folder / exchange.CASE_RISKS, probe.check())
    matrix = np.load(folder / exchange.ROWS)
    try:
        risks, unused = probe.risks(matrix), probe.unused_fields(matrix)
    except Exception as error:
        raise ArtifactError(f"the pipeline fails on rows of the labelled file ({type(error).__name__})") from error
    np.save(folder / exchange.ROW_RISKS, risks)
    if estimators.is_skops((folder / exchange.SOURCE).read_bytes()):
        (folder / exchange.PICKLE).write_bytes(as_joblib(estimator))
    return Inspected(
        pipeline,
        tuple(map(str, estimators.classes_of(estimator))),
        estimators.describe(estimator),
        estimators.params_of(estimator),
        unused,
    )


def _compile(folder: Path) -> Compiled:
    """Write the pipeline in ONNX. Raises ArtifactError if it cannot be compiled, or gives other risks."""
    estimator, pipeline, compiled = _opened(folder)
    matrix = np.concatenate([np.load(folder / exchange.ROWS), compiled.reference_cases])
    risks = np.concatenate([np.load(folder / exchange.ROW_RISKS), np.load(folder / exchange.CASE_RISKS)])
    problem = ""
    for content in compile_pipeline(estimator, pipeline):
        engine = PipelineEngine(pipeline, content)
        score = partial(_risks, engine)
        found = score(matrix)
        difference = float(np.abs(found - risks).max())
        if not difference <= engine.tolerance:
            problem = f"compiled by skl2onnx, its risks differ by {difference:.1e} from scikit-learn's"
        elif depends_on_batch(score, matrix, found):
            problem = "compiled by skl2onnx, its risks depend on the size of the batch"
        else:
            (folder / exchange.ONNX).write_bytes(content)
            return Compiled(difference)
    raise ArtifactError(problem)


def _risks(engine: PipelineEngine, matrix: Matrix) -> Risks:
    return engine.explain(matrix).risks


if __name__ == "__main__":
    main(Path(sys.argv[1]), Step(sys.argv[2]))
