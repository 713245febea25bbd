"""Int8: a backbone's activations and weights on 8 bits, by ranges measured on good parts.

Weights are symmetric, one scale an output channel; activations asymmetric, one range a tensor, in QDQ form: ONNX
Runtime runs what lies between two such pairs on integers, to the bit alike on every processor. (OpenVINO fuses sums
before it rounds them, which moves scores by a few percent: such models run on ONNX Runtime alone.) The picture is
on 8 bits as it comes; what follows the backbone stays in float32. A model is fitted to the
quantised features, so that what rounding does to good parts is part of what it holds for usual.
Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference (2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.onnx_graph import GraphBuilder

_LEVELS = 255
_STEPS = 63
"""Weights use 7 bits: with 8, pairs of products overflow 16 bits on processors without VNNI, and scores differ."""


@dataclass(frozen=True, slots=True)
class Range:
    """What an activation spans; always holds 0, so that padding is exact."""

    low: float
    high: float

    @property
    def scale(self) -> float:
        """Width of one of the 256 steps."""
        return max(self.high - self.low, 1e-6) / _LEVELS

    @property
    def zero_point(self) -> int:
        """The step that stands for 0."""
        return int(np.clip(round(-self.low / self.scale), 0, _LEVELS))


Ranges = Mapping[str, Range]


def add_rounding(graph: GraphBuilder, tensor: str, span: Range) -> str:
    """`tensor` rounded to the 256 steps of `span`."""
    scale = graph.constant(np.array(span.scale, np.float32))
    zero = graph.constant(np.array(span.zero_point, np.uint8))
    return graph.add("DequantizeLinear", [graph.add("QuantizeLinear", [tensor, scale, zero]), scale, zero])


def add_steps(graph: GraphBuilder, steps: str, span: Range) -> str:
    """What the uint8 tensor `steps` stands for, taken as steps of `span`."""
    scale = graph.constant(np.array(span.scale, np.float32))
    return graph.add("DequantizeLinear", [steps, scale, graph.constant(np.array(span.zero_point, np.uint8))])


def add_rounded_kernel(graph: GraphBuilder, kernel: NDArray[np.float32]) -> str:
    """The constant `kernel` (out, in, k, k) on 8 bits, a scale an output channel."""
    scale = np.maximum(np.abs(kernel).reshape(len(kernel), -1).max(1), 1e-8) / _STEPS
    steps = np.clip(np.rint(kernel / scale[:, None, None, None]), -_STEPS, _STEPS).astype(np.int8)
    zero = graph.constant(np.zeros(len(kernel), np.int8))
    return graph.add(
        "DequantizeLinear", [graph.constant(steps), graph.constant(scale.astype(np.float32)), zero], axis=0
    )


def add_rounded_bias(graph: GraphBuilder, bias: NDArray[np.float32], kernel: NDArray[np.float32], span: Range) -> str:
    """The constant `bias` (out,) on 32 bits, at the scale of the products of `kernel` with an input of `span`."""
    scale = span.scale * np.maximum(np.abs(kernel).reshape(len(kernel), -1).max(1), 1e-8) / _STEPS
    steps = np.clip(np.rint(bias / scale), -(2**31) + 1, 2**31 - 1).astype(np.int32)
    zero = graph.constant(np.zeros(len(bias), np.int32))
    return graph.add(
        "DequantizeLinear", [graph.constant(steps), graph.constant(scale.astype(np.float32)), zero], axis=0
    )


def measure_ranges(model: bytes, names: Sequence[str], pictures: Sequence[NDArray[np.uint8]], share: float) -> Ranges:
    """What the outputs `names` of `model` span on `pictures` (3, H, W): the widest of each picture's `share` quantiles.

    Raises: ValueError without pictures.
    """
    import onnxruntime

    if not pictures:
        raise ValueError("ranges need at least one picture")
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for picture in pictures:
        tensors = session.run(list(names), {"picture": picture[None]})
        ends = np.array([np.quantile(tensor, [1 - share, share]) for tensor in tensors])
        low, high = np.minimum(low, ends[:, 0]), np.maximum(high, ends[:, 1])
    return {name: Range(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
