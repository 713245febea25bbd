"""A backbone on 8 bits as ONNX: convolutions and sums on integers, in steps (see engines/quantise.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone, Conv, MaxPool, conv_settings, pool_settings
from engines.onnx_graph import GraphBuilder
from engines.quantise import (
    Ranges,
    Steps,
    SumSteps,
    add_rounded_weights,
    add_rounding,
    add_term,
    add_value,
    exact_weights,
)

_PICTURE = Steps(1 / 255, 115)
"""A picture's own 8 bits, around the mean of its channels' means (0.449 * 255 = 114.5)."""
_BRIGHTEST = 255 - _PICTURE.zero_point


@dataclass(frozen=True, slots=True)
class _Tensor:
    """8-bit `name` and what it stands for."""

    name: str
    steps: Steps


def add_rounded_backbone(graph: GraphBuilder, backbone: Backbone, ranges: Ranges, picture: str) -> dict[str, str]:
    """Append `backbone` on 8 bits, by its precision; `picture` names a (N, 3, H, W) uint8 RGB tensor.

    Args: ranges: of every convolution's output and, before a residual is added, of ``<output>.sum``.
    Returns: level name -> float32 tensor name, each at its own stride.
    """
    signed = backbone.precision == "int8-symmetric"
    tensors = {"input": _Tensor(_add_centred(graph, picture) if signed else _add_fourth(graph, picture), _PICTURE)}
    for layer in backbone.spec.layers:
        source = tensors[layer.source]
        if isinstance(layer, MaxPool):
            found = _add_pool(graph, source)
        elif layer.residual is None:
            steps = Steps.covering(ranges[layer.output], signed)
            first = signed and layer.source == "input"
            found = (_add_first if first else _add_conv)(graph, backbone, layer, source, steps)
        else:
            found = _add_sum(graph, backbone, layer, source, tensors[layer.residual], ranges)
        tensors[layer.output] = found
    levels = {level.name: tensors[level.name] for level in backbone.spec.levels}
    return {name: add_value(graph, each.name, each.steps, each.steps.scale) for name, each in levels.items()}


def _add_fourth(graph: GraphBuilder, picture: str) -> str:
    """`picture` and a fourth channel (see `_weights`), uint8."""
    return graph.add("Pad", [picture, graph.constant(np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64))])


def _add_centred(graph: GraphBuilder, picture: str) -> str:
    """`picture` around 0, whole numbers in float32."""
    value = graph.add("Cast", [picture], to=1)
    return graph.add("Sub", [value, graph.constant(np.array(_PICTURE.zero_point, np.float32))])


def _add_first(graph: GraphBuilder, backbone: Backbone, layer: Conv, source: _Tensor, steps: Steps) -> _Tensor:
    """The convolution of `layer` on the centred picture in float32, exactly, and rounded to signed `steps`."""
    kernel, bias = _weights(backbone, layer)
    unit = source.steps.scale / steps.scale
    exact = exact_weights(kernel[:, :3] * np.float32(unit), bias / np.float32(steps.scale), _BRIGHTEST)
    value = graph.add("Conv", [source.name, *(graph.constant(each) for each in exact)], **conv_settings(layer))
    if layer.relu:
        value = graph.add("Relu", [value])
    return _Tensor(add_rounding(graph, value, steps), steps)


def _add_pool(graph: GraphBuilder, source: _Tensor) -> _Tensor:
    pooled = graph.add("MaxPool", [add_value(graph, source.name, source.steps)], **pool_settings())
    return _Tensor(add_rounding(graph, pooled, source.steps), source.steps)


def _add_conv(graph: GraphBuilder, backbone: Backbone, layer: Conv, source: _Tensor, steps: Steps) -> _Tensor:
    """The convolution of `layer`, and its rectifier unless a residual is added between them, rounded to `steps`."""
    kernel, bias = _weights(backbone, layer)
    inputs = [
        add_value(graph, source.name, source.steps),
        *add_rounded_weights(graph, kernel, bias, source.steps, steps),
    ]
    value = graph.add("Conv", inputs, **conv_settings(layer))
    if layer.relu and layer.residual is None:
        value = graph.add("Relu", [value])
    return _Tensor(add_rounding(graph, value, steps), steps)


def _add_sum(
    graph: GraphBuilder, backbone: Backbone, layer: Conv, source: _Tensor, residual: _Tensor, ranges: Ranges
) -> _Tensor:
    """The convolution of `layer` rounded, `residual` added, and that rounded."""
    plan = SumSteps.covering(ranges[layer.output], ranges[f"{layer.output}.sum"], residual.steps)
    first = _add_conv(graph, backbone, layer, source, plan.first)
    value = graph.add(
        "Add",
        [
            add_term(graph, first.name, first.steps, plan.n_first),
            add_term(graph, residual.name, residual.steps, plan.n_second),
        ],
    )
    if layer.relu:
        value = graph.add("Relu", [value])
    return _Tensor(add_rounding(graph, value, plan.total), plan.total)


def _weights(backbone: Backbone, layer: Conv) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of `layer`. One that sees the picture, whose pixels are v = p / 255 - middle, normalises it too.

    Beyond the frame v is 0: a grey in the middle of the three means, where float32 sees the mean of each channel.
    A fourth channel of no weight lets ONNX Runtime convolve the picture by its quick way, which wants fours.
    """
    kernel, bias = (backbone.weights[f"{layer.weights}.{part}"].astype(np.float32) for part in ("weight", "bias"))
    if layer.source != "input":
        return kernel, bias
    gain = 1 / np.array(IMAGENET_STD, np.float32)
    offset = (_PICTURE.zero_point / 255 - np.array(IMAGENET_MEAN, np.float32)) * gain
    shift = np.asarray((kernel * offset[None, :, None, None]).sum((1, 2, 3)), np.float32)
    scaled = np.asarray(kernel * gain[None, :, None, None], np.float32)
    return np.pad(scaled, ((0, 0), (0, 1), (0, 0), (0, 0))), bias + shift
