"""What a GPU makes of float16 layers, by arithmetic that a CPU does: each layer's output rounded to 11 bits."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SPLITTER = 2**13 + 1
"""float32 has 13 bits more than float16 (Dekker's splitting, 1971)."""


def rounded_to_half(model: bytes) -> bytes:
    """`model` (ONNX) in float32, whose tensors are rounded wherever they are float16; ranges of exponents aside.

    ONNX Runtime computes float16 layers in float32 and leaves such roundings out; these it cannot know for roundings.
    """
    made = onnx.load_from_string(model)
    nodes: list[onnx.NodeProto] = []
    half = {each.name for each in made.graph.initializer if each.data_type == TensorProto.FLOAT16}
    for node in made.graph.node:
        if node.op_type == "Cast":
            begins = helper.get_attribute_value(node.attribute[0]) == TensorProto.FLOAT16
            half.update(node.output if begins else ())
            nodes += _rounded(node, "Identity") if begins else [node]
        elif half.intersection(node.input):
            half.update(node.output)
            nodes += _rounded(node, node.op_type)
        else:
            nodes.append(node)
    constants = [_single(each) for each in made.graph.initializer]
    constants.append(numpy_helper.from_array(np.array(_SPLITTER, np.float32), "splitter"))
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(constants)
    return bytes(made.SerializeToString())


def _single(constant: onnx.TensorProto) -> onnx.TensorProto:
    if constant.data_type != TensorProto.FLOAT16:
        return constant
    return numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float32), constant.name)


def _rounded(node: onnx.NodeProto, kind: str) -> list[onnx.NodeProto]:
    """`node` as `kind`, and its output x as s x - (s x - x), which keeps the upper 11 bits."""
    (name,) = node.output
    exact = onnx.NodeProto()
    exact.CopyFrom(node)
    exact.op_type, exact.output[0] = kind, f"{name}_exact"
    if kind == "Identity":
        del exact.attribute[:]
    return [
        exact,
        helper.make_node("Mul", [f"{name}_exact", "splitter"], [f"{name}_split"]),
        helper.make_node("Sub", [f"{name}_split", f"{name}_exact"], [f"{name}_rest"]),
        helper.make_node("Sub", [f"{name}_split", f"{name}_rest"], [name]),
    ]
