"""A backbone described once: layers, levels and normalisation; interpreted as ONNX here, as torch in distil.

A level is a tensor whose features the feature model mixes; all levels are brought to one grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.onnx_graph import GraphBuilder
from engines.precision import ROUNDED, Precision
from engines.quantise import Ranges, measure_ranges

Weights = Mapping[str, NDArray[np.float32]]
GRID_STRIDE_PX = 8
GRID_STRIDES_PX = (GRID_STRIDE_PX, 4)
"""Of the usual grid, and of the fine one (`on_grid`)."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_RANGE_SHARE = 0.9999
"""Activations beyond this quantile of a picture are clipped on 8 bits."""
_HALVED = ".halved"
"""What the name of a level that `on_grid` made ends in."""


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
    """A spec with its weights. `precision` of its convolutions; on 8 bits with `ranges` of every layer's output by name
    (see `in_precision`). `grid_stride_px` of the grid that its levels are brought to (see engines/features.py)."""

    spec: BackboneSpec
    weights: Weights
    ranges: Ranges | None = None
    precision: Precision = "f32"
    grid_stride_px: int = GRID_STRIDE_PX


def on_grid(backbone: Backbone, stride_px: int) -> Backbone:
    """`backbone` for a grid of tiles of `stride_px`, 8 or 4: finer levels are halved to it, as its last layers.

    A cell so made is the mean of four; at an odd end, of those that there are and nothing. As a convolution it is on 8
    bits where the backbone is, for a fifth of what pooling in float32 takes there.
    Raises: ValueError for another stride, and for a backbone whose levels are halved, or on 8 bits, already.
    """
    if backbone.ranges is not None or any(level.name.endswith(_HALVED) for level in backbone.spec.levels):
        raise ValueError(f"backbone {backbone.spec.name} is on its grid or on 8 bits already; begin with it as loaded")
    if stride_px not in GRID_STRIDES_PX:
        raise ValueError(f"a grid of {stride_px} px a cell is not made; choose one of {GRID_STRIDES_PX}")
    layers, weights, levels = list(backbone.spec.layers), dict(backbone.weights), []
    for level in backbone.spec.levels:
        on_its_way, relu = level, _is_rectified(backbone.spec, level.name)
        while on_its_way.stride_px < stride_px:
            finer = on_its_way
            on_its_way = Level(f"{finer.name}{_HALVED}", finer.channels, 2 * finer.stride_px)
            layers.append(Conv(on_its_way.name, finer.name, on_its_way.name, 3, stride=2, relu=relu))
            weights |= _mean_of_four(on_its_way)
        levels.append(on_its_way)
    spec = replace(backbone.spec, layers=tuple(layers), levels=tuple(levels))
    return replace(backbone, spec=spec, weights=weights, grid_stride_px=stride_px)


def _is_rectified(spec: BackboneSpec, output: str) -> bool:
    (layer,) = (each for each in spec.layers if each.output == output)
    return isinstance(layer, Conv) and layer.relu


def _mean_of_four(halved: Level) -> dict[str, NDArray[np.float32]]:
    """Weights of the convolution that gives cell i of `halved` the mean of cells 2 i and 2 i + 1, both ways."""
    weight = np.zeros((halved.channels, halved.channels, 3, 3), np.float32)
    weight[np.arange(halved.channels), np.arange(halved.channels), 1:, 1:] = 0.25
    return {f"{halved.name}.weight": weight, f"{halved.name}.bias": np.zeros(halved.channels, np.float32)}


def add_backbone(graph: GraphBuilder, backbone: Backbone, picture: str) -> dict[str, str]:
    """Append the backbone to `graph`; `picture` names a (N, 3, H, W) uint8 RGB tensor.

    Returns: level name -> float32 tensor name, each at its own stride.
    """
    if backbone.ranges is not None:
        from engines.backbone_steps import add_rounded_backbone

        return add_rounded_backbone(graph, backbone, backbone.ranges, picture)
    names = _add_layers(graph, backbone, picture)
    levels = {level.name: names[level.name] for level in backbone.spec.levels}
    if backbone.precision == "f16":
        return {name: graph.add("Cast", [tensor], to=onnx.TensorProto.FLOAT) for name, tensor in levels.items()}
    return levels


def in_precision(backbone: Backbone, precision: Precision, pictures: Sequence[NDArray[np.uint8]]) -> Backbone:
    """`backbone` in `precision`; ranges for 8 bits are measured on `pictures` (3, H, W) uint8 RGB of one size."""
    plain = replace(backbone, ranges=None, precision="f32")
    if precision not in ROUNDED:
        return replace(plain, precision=precision)
    return replace(plain, ranges=_measured(plain, pictures), precision=precision)


def quantised(backbone: Backbone, pictures: Sequence[NDArray[np.uint8]]) -> Backbone:
    """`backbone` on 8 bits, see `in_precision`."""
    return in_precision(backbone, "int8", pictures)


def _measured(plain: Backbone, pictures: Sequence[NDArray[np.uint8]]) -> Ranges:
    graph = GraphBuilder()
    names = _add_layers(graph, plain, "picture")
    outputs: dict[str, tuple[str, list[int | str]]] = {
        name: (tensor, ["n", f"c_{name}", f"h_{name}", f"w_{name}"]) for name, tensor in names.items()
    }
    shape: list[int | str] = ["n", 3, *pictures[0].shape[1:]]
    model = graph.build({"picture": (onnx.TensorProto.UINT8, shape)}, outputs)
    return measure_ranges(model, list(outputs), pictures, _RANGE_SHARE)


def _add_layers(graph: GraphBuilder, backbone: Backbone, picture: str) -> dict[str, str]:
    """In float32, or float16: layer output (and, before a residual is added, ``<output>.sum``) -> tensor name."""
    half = backbone.precision == "f16"
    normal = _add_normalisation(graph, picture)
    names = {"input": graph.add("Cast", [normal], to=onnx.TensorProto.FLOAT16) if half else normal}
    for layer in backbone.spec.layers:
        source = names[layer.source]
        if isinstance(layer, MaxPool):
            names[layer.output] = graph.add("MaxPool", [source], **pool_settings())
            continue
        value = _add_conv(graph, layer, backbone.weights, source, np.float16 if half else np.float32)
        if layer.residual is not None:
            names[f"{layer.output}.sum"] = value
            value = graph.add("Add", [value, names[layer.residual]])
        names[layer.output] = graph.add("Relu", [value]) if layer.relu else value
    return names


def conv_settings(layer: Conv) -> dict[str, Any]:
    """Attributes of `layer`'s ONNX node."""
    return {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [layer.kernel // 2] * 4}


def pool_settings() -> dict[str, Any]:
    """Attributes of a `MaxPool`'s ONNX node."""
    return {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}


def add_halving(graph: GraphBuilder, tensor: str) -> str:
    """`tensor` (N, C, h, w) at half the resolution: means of 2x2 cells, fewer at an odd end."""
    return graph.add("AveragePool", [tensor], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])


def add_doubling(graph: GraphBuilder, tensor: str, *, channels_last: bool = False) -> str:
    """`tensor` (N, C, h, w), or (N, h, w, C) with `channels_last`, at twice the resolution: bilinear.

    Cell i of a level of stride s stands for the tile of pixels s * i to s * (i + 1): a unit of a net taught on
    pictures answers most to what lies in the middle of its tile, s * i + (s - 1) / 2, though by kernels and padding
    alone it is centred on pixel s * i (tests/engines/test_features.py measures it). Halving and doubling keep tiles.
    """
    scales = graph.constant(np.array([1, 2, 2, 1] if channels_last else [1, 1, 2, 2], np.float32))
    return graph.add("Resize", [tensor, "", scales], mode="linear", coordinate_transformation_mode="half_pixel")


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


def _add_conv(
    graph: GraphBuilder, layer: Conv, weights: Weights, source: str, kind: type[np.float16] | type[np.float32]
) -> str:
    parts = [graph.constant(weights[f"{layer.weights}.{part}"].astype(kind)) for part in ("weight", "bias")]
    return graph.add("Conv", [source, *parts], **conv_settings(layer))
