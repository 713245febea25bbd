"""What an ONNX graph asks of TensorRT: where it computes in float16, whether on 8 bits; read from the graph itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_ROUNDINGS = ("QuantizeLinear", "DequantizeLinear")
_MOST_RANKED = 3840
"""Of TensorRT's TopK."""


@dataclass(frozen=True, slots=True)
class GraphTypes:
    """`half_nodes`: names of the nodes that compute in float16. `rounded`: some tensors are on 8 bits.

    `refusal`: what in the graph TensorRT does not know, and what to do about it, in words; empty when it knows all.
    """

    half_nodes: frozenset[str]
    rounded: bool
    refusal: str

    @classmethod
    def of(cls, model: bytes) -> Self | None:
        """Of `model` (ONNX); None for bytes that are none, for which TensorRT's parser has the words."""
        try:
            graph = onnx.load_from_string(model).graph
        except Exception:  # protobuf's own class, which has no types
            return None
        constants = {each.name: each for each in graph.initializer}
        rounded = any(node.op_type in _ROUNDINGS for node in graph.node)
        return cls(_half_nodes(graph, constants), rounded, next(_refusals(graph, constants), ""))


def _half_nodes(graph: Any, constants: dict[str, Any]) -> frozenset[str]:
    half = {name for name, each in constants.items() if each.data_type == TensorProto.FLOAT16}
    nodes = set()
    for node in graph.node:
        if node.op_type == "Cast":
            (to,) = (helper.get_attribute_value(each) for each in node.attribute if each.name == "to")
            if to == TensorProto.FLOAT16:
                half.update(node.output)
        elif half.intersection(node.input):
            nodes.add(node.name)
            half.update(node.output)
    return frozenset(nodes)


def _refusals(graph: Any, constants: dict[str, Any]) -> Iterator[str]:
    """Sources: NVIDIA's onnx-tensorrt (zero points), the documents of TensorRT 10 and 11 (DataType.UINT8, TopK)."""
    for node, zero in _read(graph, constants, _ROUNDINGS, 2):
        if zero.dtype != np.int8 or np.any(zero):
            yield (
                f"{node.name} counts in {zero.dtype} from {zero.flat[0]}, where it takes int8 from 0 alone; train with "
                "--precision int8-symmetric, f16 or f32"
            )
    for node, ranked in _read(graph, constants, ("TopK",), 1):
        if ranked.max() > _MOST_RANKED:
            yield (
                f"{node.name} ranks {ranked.max()} places, where it takes {_MOST_RANKED} at most; train with --grid-px "
                "8, a smaller --input-px, or --localiser alm"
            )
    pictures = {each.name for each in graph.input if each.type.tensor_type.elem_type == TensorProto.UINT8}
    for node in graph.node:
        if node.op_type != "Cast" and pictures.intersection(node.input):
            yield (
                f"{node.op_type} {node.name} reads the picture's uint8, where it takes Cast alone; train with an "
                "--input-px up to 1024"
            )


def _read(
    graph: Any, constants: dict[str, Any], kinds: tuple[str, ...], place: int
) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Every node of `kinds` with its input number `place`, where that is a constant of the graph."""
    for node in graph.node:
        if node.op_type in kinds and len(node.input) > place and node.input[place] in constants:
            yield node, numpy_helper.to_array(constants[node.input[place]])
