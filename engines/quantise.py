"""Int8: a backbone's activations and weights on 8 bits, by ranges measured on good parts.

Weights are symmetric, one scale an output channel; activations asymmetric, one range a tensor, in QDQ form: what lies
between two such pairs runs on integers. The graph counts in steps, not in what they stand for, and its factors are
chosen so that no backend has to round but where it says so; ONNX Runtime and OpenVINO then agree to the bit, on every
processor:

- a convolution's factor is a whole multiple of a power of two that float32 holds without loss up to 256 steps and the
  bias, so that it does not matter in which order a backend scales, adds and moves;
- zero points are even, so that halves are rounded alike before and after one is added;
- the two factors of a sum are whole multiples of 1/255: a sum is never near a half.

The picture is on 8 bits as it comes; what follows the backbone stays in float32. A model is fitted to the
quantised features, so that what rounding does to good parts is part of what it holds for usual.

The symmetric form is for TensorRT, which knows neither zero points nor biases in whole numbers: activations are signed,
around zero, weights are a pair of roundings, biases float32. The first convolution, which sees the picture, is float32,
since TensorRT has no 8-bit kernel for every one of three channels; its weights are whole multiples of a power of two:
its sums are without loss as well, in any order.
Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference (2018); the choice of factors is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.onnx_graph import GraphBuilder

Float = NDArray[np.float32]
_LEVELS = 255
_SIGNED_LEVELS = 127
"""Above zero, where steps are signed; as many below."""
_STEPS = 63
"""Weights use 7 bits: with 8, pairs of products overflow 16 bits on processors without VNNI, and scores differ."""
_PARTS = 255
"""Odd: whole multiples of 1/255 keep 1/510 away from any half."""
_EXACT = 2**24
"""Whole numbers up to this one are float32 without loss."""


@dataclass(frozen=True, slots=True)
class Range:
    """What an activation spans; always holds 0, so that padding is exact."""

    low: float
    high: float


Ranges = Mapping[str, Range]


@dataclass(frozen=True, slots=True)
class Steps:
    """What 256 steps stand for: step i is (i - `zero_point`) * `scale`. `signed`: i from -128, else from 0."""

    scale: float
    zero_point: int
    signed: bool = False

    @classmethod
    def covering(cls, span: Range, signed: bool = False) -> Self:
        """The steps over `span`, to a step at its ends; the zero point is even, and 0 when they are signed."""
        if signed:
            return cls(max(span.high, -span.low, 1e-6) / _SIGNED_LEVELS, 0, signed)
        scale = max(span.high - span.low, 1e-6) / _LEVELS
        return cls(scale, 2 * int(np.clip(round(-span.low / scale / 2), 0, _LEVELS // 2)))

    def scaled(self, scale: float) -> Self:
        """Steps `scale` wide, at the same zero point."""
        return type(self)(scale, self.zero_point, self.signed)

    @property
    def zero(self) -> NDArray[np.int8] | NDArray[np.uint8]:
        """The zero point, of the type of the steps."""
        return np.array(self.zero_point, np.int8) if self.signed else np.array(self.zero_point, np.uint8)


@dataclass(frozen=True, slots=True)
class SumSteps:
    """Steps of a sum and of its first term, the second's being given; their factors are `n_first`, `n_second` / 255."""

    total: Steps
    first: Steps
    n_first: int
    n_second: int

    @classmethod
    def covering(cls, total: Range, first: Range, second: Steps) -> Self:
        """Steps at least as wide as the ranges ask for; wider by a part in `n_second`, in `n_first` at most."""
        wanted, own = (Steps.covering(span, second.signed) for span in (total, first))
        n_second = max(1, math.floor(_PARTS * second.scale / wanted.scale))
        scale = max(wanted.scale, second.scale * _PARTS / n_second)
        n_first = max(1, math.ceil(_PARTS * own.scale / scale))
        return cls(wanted.scaled(scale), own.scaled(scale * n_first / _PARTS), n_first, n_second)


def add_rounding(graph: GraphBuilder, tensor: str, steps: Steps) -> str:
    """`tensor`, in steps from 0, rounded to the 8 bits of `steps`."""
    return graph.add("QuantizeLinear", [tensor, graph.constant(np.array(1, np.float32)), graph.constant(steps.zero)])


def add_value(graph: GraphBuilder, tensor: str, steps: Steps, scale: float = 1.0) -> str:
    """What the 8-bit `tensor` of `steps` stands for, with steps `scale` wide."""
    factor = graph.constant(np.array(scale, np.float32))
    return graph.add("DequantizeLinear", [tensor, factor, graph.constant(steps.zero)])


def add_term(graph: GraphBuilder, tensor: str, steps: Steps, n_parts: int) -> str:
    """The 8-bit `tensor` of `steps` as a term of a sum: `n_parts` / 255 of the sum's steps each."""
    return add_value(graph, tensor, steps, n_parts / _PARTS)


def add_rounded_weights(graph: GraphBuilder, kernel: Float, bias: Float, source: Steps, target: Steps) -> list[str]:
    """The constants `kernel` (out, in, k, k) on 7 bits and `bias` (out,) on 32, from steps of `source` to `target`'s.

    Returns: the tensors that a convolution takes beside its input, a factor an output channel. Between signed steps
    the kernel is rounded by the graph, and the bias stays float32, of the same value.
    """
    inner = np.asarray(kernel, np.float64) * (source.scale / target.scale)
    shift = np.asarray(bias, np.float64) / target.scale
    factor = _factors(np.abs(inner).reshape(len(inner), -1).max(1), np.abs(shift))
    steps = np.clip(np.rint(inner / factor[:, None, None, None]), -_STEPS, _STEPS).astype(np.int8)
    whole = np.clip(np.rint(shift / factor), -(2**31) + 1, 2**31 - 1).astype(np.int32)
    scale = graph.constant(factor.astype(np.float32))
    if source.signed:
        values = [(each * factor.reshape(-1, *[1] * (each.ndim - 1))).astype(np.float32) for each in (steps, whole)]
        zero = graph.constant(np.zeros(len(steps), np.int8))
        rounded = graph.add("QuantizeLinear", [graph.constant(values[0]), scale, zero], axis=0)
        return [graph.add("DequantizeLinear", [rounded, scale, zero], axis=0), graph.constant(values[1])]
    constants = [(graph.constant(each), graph.constant(np.zeros(len(each), each.dtype))) for each in (steps, whole)]
    return [graph.add("DequantizeLinear", [each, scale, zero], axis=0) for each, zero in constants]


def exact_weights(kernel: Float, bias: Float, most: float) -> list[Float]:
    """`kernel` (out, in, k, k) and `bias` (out,) as multiples of a power of two, the finest that keeps sums exact.

    Args: most: what a whole-numbered input is at most, either side of 0. Returns: both, float32; however their products
    with such an input are added up, float32 holds every partial sum.
    """
    reach = np.abs(kernel).reshape(len(kernel), -1).sum(1) * most + np.abs(bias)
    unit = np.exp2(np.ceil(np.log2(np.maximum(reach, 1e-6))) + 1) / _EXACT
    units = unit[:, None, None, None]
    return [(np.rint(kernel / units) * units).astype(np.float32), (np.rint(bias / unit) * unit).astype(np.float32)]


def _factors(largest: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """(out,) what one step of a channel's weights is worth: over `largest` / 63, a multiple of 2^-k.

    k is so large that a product up to 256 steps and `shift` is float32 without loss.
    """
    finest = np.exp2(np.floor(np.log2(_EXACT / (_LEVELS + 1 + shift))))
    return np.asarray(np.maximum(np.ceil(largest / _STEPS * finest), 1) / finest)


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
