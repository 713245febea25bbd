"""A parsed network of the stand-in for TensorRT: what NVIDIA's parser refuses, and the types of layers."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import onnx


@dataclass
class Layer:
    """A node as a layer of a network without strong types."""

    name: str
    type: str
    kind: int
    precision: str | None = None

    @property
    def of_floats(self) -> bool:
        return self.kind in (1, 10) and self.type != "Cast"

    def get_output(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(dtype={1: "float32", 10: "float16"}.get(self.kind, "another"))


class Graph:
    """Nodes of an ONNX model with the types of what they give and take."""

    def __init__(self, model: bytes) -> None:
        graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
        self.nodes = list(graph.node)
        self.kinds = {each.name: each.type.tensor_type.elem_type for each in (*graph.input, *graph.value_info)}
        self.kinds |= {each.name: each.type.tensor_type.elem_type for each in graph.output}
        self.constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        self.kinds |= {each.name: each.data_type for each in graph.initializer}
        self.layers = [Layer(node.name, node.op_type, self.kinds[node.output[0]]) for node in self.nodes]

    def error(self) -> str:
        """What NVIDIA's parser says; empty when it takes the graph."""
        for node in self.nodes:
            kind = self.kinds[node.input[0]]
            if node.op_type in ("QuantizeLinear", "DequantizeLinear") and self.constants[node.input[2]].any():
                return "Non-zero zero point is not supported"
            if node.op_type == "DequantizeLinear" and kind != onnx.TensorProto.INT8:
                return "only activation types allowed as input to this layer"
            if kind == onnx.TensorProto.UINT8 and node.op_type != "Cast":
                return "uint8 tensors may only be cast"
        return ""

    def needs(self) -> set[str]:
        """Flags that a builder without strong types needs to keep the graph's types."""
        kinds = {self.kinds[node.output[0]] for node in self.nodes if node.op_type not in ("Identity", "Cast")}
        return {
            flag
            for flag, kind in (("FP16", onnx.TensorProto.FLOAT16), ("INT8", onnx.TensorProto.INT8))
            if kind in kinds
        }
