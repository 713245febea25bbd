"""A backbone described once: layers, levels and normalisation; interpreted as ONNX here, as torch in distil.

A level is a tensor whose features the feature model mixes; all levels are brought to stride 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.onnx_graph import GraphBuilder

Weights = Mapping[str, NDArray[np.float32]]
GRID_STRIDE_PX = 8
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
    """A spec with its weights."""

    spec: BackboneSpec
    weights: Weights


def add_backbone(graph: GraphBuilder, backbone: Backbone, picture: str) -> dict[str, str]:
    """Append the backbone to `graph`; `picture` names a (N, 3, H, W) uint8 RGB tensor.

    Returns: level name -> tensor name, each at its own stride.
    """
    names = {"input": _add_normalisation(graph, picture)}
    for layer in backbone.spec.layers:
        source = names[layer.source]
        if isinstance(layer, MaxPool):
            value = graph.add("MaxPool", [source], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        else:
            value = _add_conv(graph, layer, backbone.weights, source)
            if layer.residual is not None:
                value = graph.add("Add", [value, names[layer.residual]])
            if layer.relu:
                value = graph.add("Relu", [value])
        names[layer.output] = value
    return {level.name: names[level.name] for level in backbone.spec.levels}


def to_grid(graph: GraphBuilder, tensor: str, stride_px: int) -> str:
    """Bring a tensor of stride 4, 8 or 16 to the stride-8 grid: average pooling or bilinear.

    Cell i of a level of stride s is centred on pixel s * i (odd kernels, padded by half); pooling and resizing
    keep it so, hence cell i of the grid is centred on pixel 8 * i.
    """
    if stride_px == GRID_STRIDE_PX:
        return tensor
    if stride_px == GRID_STRIDE_PX // 2:
        return graph.add("AveragePool", [tensor], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    factor = stride_px / GRID_STRIDE_PX
    scales = graph.constant(np.array([1, 1, factor, factor], np.float32))
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


def _add_conv(graph: GraphBuilder, layer: Conv, weights: Weights, source: str) -> str:
    half = layer.kernel // 2
    settings: dict[str, Any] = {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [layer.stride] * 2,
        "pads": [half] * 4,
    }
    kernel = graph.constant(weights[f"{layer.weights}.weight"].astype(np.float32))
    bias = graph.constant(weights[f"{layer.weights}.bias"].astype(np.float32))
    return graph.add("Conv", [source, kernel, bias], **settings)
