"""Compiles fitted trees to ONNX: input `x` (n, columns) float64; outputs labels (n,) and probabilities (n, 2)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

ONNX_OPSET: Final = {"": 17, "ai.onnx.ml": 3}
"""Version 3 of the tree operators is the first with float64 thresholds."""
_IR_VERSION: Final = 8


def as_onnx(trees: RandomForestClassifier | HistGradientBoostingClassifier, width: int) -> bytes:
    """Compile a fitted forest, or boosted trees, over `width` columns."""
    compiled = _boosted(trees, width) if isinstance(trees, HistGradientBoostingClassifier) else _forest(trees, width)
    onnx.checker.check_model(compiled)
    return bytes(compiled.SerializeToString(deterministic=True))


def _forest(forest: RandomForestClassifier, width: int) -> onnx.ModelProto:
    compiled = to_onnx(
        forest,
        name="random_forest",
        initial_types=[("x", DoubleTensorType([None, width]))],
        options={id(forest): {"zipmap": False}},
        target_opset=ONNX_OPSET,
    )
    _round_input(compiled)
    return compiled  # type: ignore[no-any-return]  # skl2onnx ships no types


def _round_input(compiled: onnx.ModelProto) -> None:
    """Insert a rounding to float32 before the trees, in place.

    scikit-learn's trees round their input to float32, and their thresholds lie between two float32 numbers. Without the
    rounding some patients take another branch (measured: risks differ by up to 0.046); with it they agree within 1e-7.
    """
    graph = compiled.graph
    for node in graph.node:
        node.input[:] = ["rounded" if name == "x" else name for name in node.input]
    casts = [
        helper.make_node("Cast", ["x"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["single"], ["rounded"], to=TensorProto.DOUBLE),
    ]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _boosted(boosted: HistGradientBoostingClassifier, width: int) -> onnx.ModelProto:
    """Compile boosted trees, which compare float64 numbers.

    skl2onnx 1.20 cannot: it writes booleans where onnx 1.23 takes integers only.
    """
    trees = [tree.nodes for (tree,) in boosted._predictors]  # noqa: SLF001  # scikit-learn publishes no tree of these
    nodes = np.concatenate(trees)
    tree = np.repeat(np.arange(len(trees)), [len(each) for each in trees])
    place = np.concatenate([np.arange(len(each)) for each in trees])
    leaf = nodes["is_leaf"].astype(np.bool_)
    split = {
        "nodes_featureids": nodes["feature_idx"],
        "nodes_truenodeids": nodes["left"],
        "nodes_falsenodeids": nodes["right"],
        "nodes_missing_value_tracks_true": nodes["missing_go_to_left"],
    }
    return _model(
        "gradient_boosting",
        width,
        helper.make_node(
            "TreeEnsembleClassifier",
            ["x"],
            ["label", "probabilities"],
            domain="ai.onnx.ml",
            nodes_treeids=tree.tolist(),
            nodes_nodeids=place.tolist(),
            nodes_modes=["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf],
            nodes_values_as_tensor=_tensor("thresholds", np.where(leaf, 0.0, nodes["num_threshold"])),
            **{name: np.where(leaf, 0, values).tolist() for name, values in split.items()},
            class_treeids=tree[leaf].tolist(),
            class_nodeids=place[leaf].tolist(),
            class_ids=[0] * int(leaf.sum()),
            class_weights_as_tensor=_tensor("leaves", nodes["value"][leaf]),
            base_values_as_tensor=_tensor("base", boosted._baseline_prediction.ravel()),  # noqa: SLF001  # the same
            classlabels_int64s=[0, 1],
            post_transform="LOGISTIC",
        ),
    )


def _model(name: str, width: int, node: onnx.NodeProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        name,
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, width])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
    )
    versions = [helper.make_opsetid(domain, version) for domain, version in ONNX_OPSET.items()]
    return helper.make_model(graph, opset_imports=versions, ir_version=_IR_VERSION)


def _tensor(name: str, values: npt.NDArray[np.float64]) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float64), name)
