"""Compiles a fitted pipeline, with its preprocessing, to ONNX in float64. Only `isolated` imports this.

skl2onnx converts some pipelines to something else, without an error: the caller compares the risks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.algebra.onnx_ops import OnnxIsNaN, OnnxWhere
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer

from schemas.errors import ArtifactError
from scoring.engines import PipelineEngine
from scoring.pipeline_input import PipelineInput
from training.export.compiled_trees import ONNX_OPSET, as_onnx

_TYPES: Final = (onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT)
"""Trees give probabilities in float32, although skl2onnx declares float64."""

_ERROR_CHARACTERS: Final = 200


def compile_pipeline(estimator: Any, pipeline: PipelineInput) -> Iterator[bytes]:
    """Yield the conversions that onnxruntime can load, whose risks may still differ. Raises ArtifactError for none."""
    update_registered_converter(SimpleImputer, "HeartstreamSimpleImputer", _imputed_shape, _convert_imputer)
    problems: list[str] = []
    found = isinstance(estimator, HistGradientBoostingClassifier)
    if found:  # skl2onnx does not convert these
        yield as_onnx(estimator, len(pipeline.fields))
    for inputs, kind in product(_inputs(pipeline), _TYPES):
        try:
            content = _converted(estimator, inputs, kind)
            PipelineEngine(pipeline, content)
        except Exception as error:  # noqa: BLE001  # whatever the converter or onnxruntime raises
            problems.append(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:_ERROR_CHARACTERS]}")
            continue
        found = True
        yield content
    if not found:
        raise ArtifactError(f"skl2onnx cannot convert it ({'; '.join(dict.fromkeys(problems))})")


def _inputs(pipeline: PipelineInput) -> Iterator[list[tuple[str, Any]]]:
    """Yield the forms of the input: one matrix, and one column each, which a ColumnTransformer by names needs."""
    if not any(pipeline.labels):
        yield [("x", DoubleTensorType([None, len(pipeline.fields)]))]
    if pipeline.names:
        columns = zip(pipeline.names, pipeline.labels, strict=True)
        yield [(name, (StringTensorType if labels else DoubleTensorType)([None, 1])) for name, labels in columns]


def _converted(estimator: Any, inputs: Sequence[tuple[str, Any]], kind: int) -> bytes:
    compiled = to_onnx(
        estimator, name="pipeline", initial_types=inputs, options={"zipmap": False}, target_opset=ONNX_OPSET
    )
    _round_tree_inputs(compiled.graph)
    compiled.graph.output[1].type.tensor_type.elem_type = kind
    return bytes(compiled.SerializeToString(deterministic=True))


def _round_tree_inputs(graph: onnx.GraphProto) -> None:
    """Round the input of trees to float32 in place, as scikit-learn does: see `training.export.compiled_trees`."""
    nodes = []
    for place, node in enumerate(graph.node):
        if node.op_type.startswith("TreeEnsemble"):
            single, rounded = f"heartstream_single_{place}", f"heartstream_rounded_{place}"
            nodes += [
                helper.make_node("Cast", [node.input[0]], [single], to=onnx.TensorProto.FLOAT),
                helper.make_node("Cast", [single], [rounded], to=onnx.TensorProto.DOUBLE),
            ]
            node.input[0] = rounded
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _imputed_shape(operator: Any) -> None:
    operator.outputs[0].type = DoubleTensorType([None, len(operator.raw_operator.statistics_)])


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Convert a SimpleImputer in float64: the operator for imputers in ONNX exists in float32 only."""
    imputer, given = operator.raw_operator, operator.inputs[0]
    values = np.asarray(imputer.statistics_)
    is_number = values.dtype.kind == "f" and not np.isnan(values).any()
    if not is_number or imputer.add_indicator or str(imputer.missing_values) != "nan":
        raise NotImplementedError("this kind of SimpleImputer is not converted")
    version = container.target_opset
    is_missing = OnnxIsNaN(given, op_version=version)
    replaced = OnnxWhere(
        is_missing, values.astype(np.float64)[None, :], given, op_version=version, output_names=operator.outputs[:1]
    )
    replaced.add_to(scope, container)
