"""A real model directory whose forest fails on one kind of record: its ONNX graph reads outside of a table there.

The graph gets a sum over a record's inputs in front of it; above a limit, which only a record at its highest valid
values reaches, it asks for an element that is not there, and ONNX Runtime raises for the whole batch. Model
directory and manifest stay valid.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from heartstream.demo.patients import Record
from tests.support.uci import FEATURES

SETTINGS: Final = {"HEARTSTREAM_MODEL__NAME": "random_forest"}
_MANIFEST: Final = "manifest.json"
_LIMIT: Final = 45.0
"""Between the sums of reference cases (up to 39) and the culprit's (52)."""


def culprit() -> Record:
    """Return the record on which the model raises: every field at its highest valid value."""
    return {feature.name: _plain(feature.interval[1]) for feature in FEATURES}


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def poison(source: Path, target: Path) -> None:
    """Copy a model directory with the defect in its forest."""
    target.mkdir()
    manifest = json.loads((source / _MANIFEST).read_bytes())
    for name in manifest["files"]:
        content = (source / name).read_bytes()
        if name.endswith(".onnx"):
            content = _with_defect(content)
            manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (target / name).write_bytes(content)
    (target / _MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", "utf-8")


def _with_defect(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    graph = model.graph
    given = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["defect_passed" if name == given else name for name in node.input]
    nodes = [
        helper.make_node("ReduceSum", [given, "defect_axes"], ["defect_sums"], keepdims=1),
        helper.make_node("Greater", ["defect_sums", "defect_limit"], ["defect_over"]),
        helper.make_node("Cast", ["defect_over"], ["defect_index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["defect_table", "defect_index"], ["defect_zeros"]),
        helper.make_node("Add", [given, "defect_zeros"], ["defect_passed"]),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        [
            helper.make_tensor("defect_axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("defect_limit", TensorProto.DOUBLE, [], [_LIMIT]),
            # One element: index 1 is outside.
            helper.make_tensor("defect_table", TensorProto.DOUBLE, [1], [0.0]),
        ]
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
