"""A small builder of ONNX graphs: nodes and constants in, a checked, deterministic model out."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class GraphBuilder:
    """Collects nodes and constants; tensor names are numbered in order, so equal calls give equal bytes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Append one node of kind `op`; returns the name of its output tensor."""
        name = f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def add_two(self, op: str, inputs: list[str], **attributes: Any) -> tuple[str, str]:
        """Append one node of kind `op` that has two outputs; returns their names."""
        name = f"{op.lower()}_{len(self._nodes)}"
        names = (name, f"{name}_b")
        self._nodes.append(helper.make_node(op, inputs, list(names), name=name, **attributes))
        return names

    def constant(self, value: NDArray[Any]) -> str:
        """Append a constant, unless an equal one is there; returns its tensor name."""
        array = np.asarray(value, order="C")
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._known:
            self._known[key] = name = f"constant_{len(self._constants)}"
            self._constants.append(numpy_helper.from_array(array, name))
        return self._known[key]

    def build(
        self, inputs: dict[str, tuple[int, list[int | str]]], outputs: dict[str, tuple[str, list[int | str]]]
    ) -> bytes:
        """The serialised model.

        Args: inputs: name -> (onnx element type, shape); outputs: public name -> (tensor, shape), float32.
        """
        for name, (tensor, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor], [name], name=f"out_{name}"))
        graph = helper.make_graph(
            self._nodes,
            "sightline",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (_, shape) in outputs.items()],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="sightline")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
