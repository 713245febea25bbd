"""A backbone described once: layers, levels and normalisation; interpreted as ONNX here, as torch in distil.

A level is a tensor whose features the feature model mixes; all levels are brought to stride 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.onnx_graph import GraphBuilder
from engines.quantise import (
    Range,
    Ranges,
    add_rounded_bias,
    add_rounded_kernel,
    add_rounding,
    add_steps,
    measure_ranges,
)

Weights = Mapping[str, NDArray[np.float32]]
GRID_STRIDE_PX = 8
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_PICTURE = Range(-115 / 255, 140 / 255)
"""A picture's own 8 bits, around the mean of its channels' means (0.449 * 255 = 114.5)."""
_RANGE_SHARE = 0.9999
"""Activations beyond this quantile of a picture are clipped in int8."""


@dataclass(frozen=True, slots=True)
class Conv:
    """`output` = relu?(conv(`source`) + `residual`?), with weights ``<weights>.weight`` and ``<weights>.bias``."""

    output: str
    source: str
    weights: str
    kernel: int
    stride: int = 1
    relu: bool = True
    residual: str | None = None


@dataclass(frozen=True, slots=True)
class MaxPool:
    """`output` = 3x3 max pooling of `source` with stride 2."""

    output: str
    source: str


@dataclass(frozen=True, slots=True)
class Level:
    """A tensor of the backbone with its channels and stride (4, 8 or 16)."""

    name: str
    channels: int
    stride_px: int


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """Layers in order from ``input``, and the levels they leave behind."""

    name: str
    layers: tuple[Conv | MaxPool, ...]
    levels: tuple[Level, ...]

    @property
    def channels(self) -> int:
        """Channels of all levels together."""
        return sum(level.channels for level in self.levels)


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A spec with its weights. `ranges`: of every layer's output, by name (see `quantised`); None: float32."""

    spec: BackboneSpec
    weights: Weights
    ranges: Ranges | None = None

    @property
    def precision(self) -> str:
        """Arithmetic of its convolutions."""
        return "f32" if self.ranges is None else "int8"


def add_backbone(graph: GraphBuilder, backbone: Backbone, picture: str) -> dict[str, str]:
    """Append the backbone to `graph`; `picture` names a (N, 3, H, W) uint8 RGB tensor.

    Returns: level name -> tensor name, each at its own stride.
    """
    names = _add_layers(graph, backbone, picture)
    return {level.name: names[level.name] for level in backbone.spec.levels}


def quantised(backbone: Backbone, pictures: Sequence[NDArray[np.uint8]]) -> Backbone:
    """`backbone` on 8 bits, its ranges measured on `pictures` (3, H, W) uint8 RGB of one size."""
    graph = GraphBuilder()
    plain = replace(backbone, ranges=None)
    names = _add_layers(graph, plain, "picture")
    outputs: dict[str, tuple[str, list[int | str]]] = {
        name: (tensor, ["n", f"c_{name}", f"h_{name}", f"w_{name}"]) for name, tensor in names.items()
    }
    shape: list[int | str] = ["n", 3, *pictures[0].shape[1:]]
    model = graph.build({"picture": (onnx.TensorProto.UINT8, shape)}, outputs)
    return replace(plain, ranges=measure_ranges(model, list(outputs), pictures, _RANGE_SHARE))


def _add_layers(graph: GraphBuilder, backbone: Backbone, picture: str) -> dict[str, str]:
    """Layer output (and, before a residual is added, ``<output>.sum``) -> tensor name."""
    weights = backbone.weights
    if backbone.ranges is None:
        names = {"input": _add_normalisation(graph, picture)}
    else:
        fourth = graph.constant(np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64))
        names, weights = (
            {"input": add_steps(graph, graph.add("Pad", [picture, fourth]), _PICTURE)},
            _on_raw_picture(backbone),
        )
    for layer in backbone.spec.layers:
        source, span = names[layer.source], _range(backbone, layer.source)
        if isinstance(layer, MaxPool):
            value = graph.add("MaxPool", [source], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        else:
            value = _add_conv(graph, layer, weights, source, span)
            if layer.residual is not None:
                before = f"{layer.output}.sum"
                names[before] = value = _rounded(graph, backbone, before, value)
                value = graph.add("Add", [value, names[layer.residual]])
            if layer.relu:
                value = graph.add("Relu", [value])
        names[layer.output] = _rounded(graph, backbone, layer.output, value)
    return names


def _range(backbone: Backbone, name: str) -> Range | None:
    """The range of tensor `name`; None in float32."""
    if backbone.ranges is None:
        return None
    return _PICTURE if name == "input" else backbone.ranges[name]


def _on_raw_picture(backbone: Backbone) -> Weights:
    """The weights, normalisation taken into the layers that see the picture, whose pixels are v = p / 255 - middle.

    Beyond the frame v is 0: a grey in the middle of the three means, where float32 sees the mean of each channel.
    A fourth channel of no weight lets ONNX Runtime convolve the picture by its quick way, which wants fours.
    """
    weights = dict(backbone.weights)
    gain = 1 / np.array(IMAGENET_STD, np.float32)
    offset = (-_PICTURE.low - np.array(IMAGENET_MEAN, np.float32)) * gain
    for layer in backbone.spec.layers:
        if isinstance(layer, Conv) and layer.source == "input":
            kernel = weights[f"{layer.weights}.weight"]
            scaled = np.asarray(kernel * gain[None, :, None, None], np.float32)
            weights[f"{layer.weights}.weight"] = np.pad(scaled, ((0, 0), (0, 1), (0, 0), (0, 0)))
            shift = np.asarray((kernel * offset[None, :, None, None]).sum((1, 2, 3)), np.float32)
            weights[f"{layer.weights}.bias"] = weights[f"{layer.weights}.bias"] + shift
    return weights


def _rounded(graph: GraphBuilder, backbone: Backbone, name: str, tensor: str) -> str:
    span = _range(backbone, name)
    return tensor if span is None else add_rounding(graph, tensor, span)


def to_grid(graph: GraphBuilder, tensor: str, stride_px: int, *, channels_last: bool = False) -> str:
    """Bring a tensor of stride 4, 8 or 16 to the stride-8 grid: average pooling or bilinear.

    Args: channels_last: the tensor is (N, h, w, C), at stride 16, instead of (N, C, h, w).

    Cell i of a level of stride s is centred on pixel s * i (odd kernels, padded by half); pooling and resizing
    keep it so, hence cell i of the grid is centred on pixel 8 * i.
    """
    if stride_px == GRID_STRIDE_PX:
        return tensor
    if stride_px == GRID_STRIDE_PX // 2:
        return graph.add("AveragePool", [tensor], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    factor = stride_px / GRID_STRIDE_PX
    scales = graph.constant(np.array([1, factor, factor, 1] if channels_last else [1, 1, factor, factor], np.float32))
    return graph.add("Resize", [tensor, "", scales], mode="linear", coordinate_transformation_mode="asymmetric")


def check_weights(spec: BackboneSpec, weights: Weights, origin: str) -> None:
    """Raises: ValueError naming the first array of `spec` that `weights` (from `origin`) lacks or has misshapen."""
    for layer in spec.layers:
        if isinstance(layer, MaxPool):
            continue
        for part in ("weight", "bias"):
            name = f"{layer.weights}.{part}"
            if name not in weights:
                raise ValueError(f"{origin} lacks the array {name!r} of backbone {spec.name}")
        kernel = weights[f"{layer.weights}.weight"]
        if kernel.ndim != 4 or kernel.shape[2:] != (layer.kernel, layer.kernel):
            raise ValueError(
                f"{origin}: {layer.weights}.weight has shape {kernel.shape}; "
                f"wanted (out, in, {layer.kernel}, {layer.kernel})"
            )


def _add_normalisation(graph: GraphBuilder, picture: str) -> str:
    scale = 1 / (255 * np.array(IMAGENET_STD, np.float64))
    offset = -np.array(IMAGENET_MEAN) / np.array(IMAGENET_STD)
    value = graph.add("Cast", [picture], to=1)
    value = graph.add("Mul", [value, graph.constant(scale.reshape(1, 3, 1, 1).astype(np.float32))])
    return graph.add("Add", [value, graph.constant(offset.reshape(1, 3, 1, 1).astype(np.float32))])


def _add_conv(graph: GraphBuilder, layer: Conv, weights: Weights, source: str, span: Range | None) -> str:
    """One convolution; `span`: the range of its input when that is on 8 bits, and so shall the weights be."""
    half = layer.kernel // 2
    settings: dict[str, Any] = {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [layer.stride] * 2,
        "pads": [half] * 4,
    }
    kernel = weights[f"{layer.weights}.weight"].astype(np.float32)
    bias = weights[f"{layer.weights}.bias"].astype(np.float32)
    if span is None:
        return graph.add("Conv", [source, graph.constant(kernel), graph.constant(bias)], **settings)
    rounded = [add_rounded_kernel(graph, kernel), add_rounded_bias(graph, bias, kernel, span)]
    return graph.add("Conv", [source, *rounded], **settings)
