"""A small backbone with every kind of layer, and models of the bundle contract that give a backbone's levels."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import Backbone, BackboneSpec, Conv, Level, MaxPool, add_backbone
from engines.onnx_graph import GraphBuilder


def every_kind_of_layer() -> Backbone:
    """Pooling, a residual as it is, one through a convolution, and levels that others read on; weights at random."""
    spec = BackboneSpec(
        "small",
        (
            Conv("stem", "input", "stem", 7, 2),
            MaxPool("pool", "stem"),
            Conv("a.inner", "pool", "a.inner", 3),
            Conv("a", "a.inner", "a", 3, residual="pool"),
            Conv("b.shortcut", "a", "b.shortcut", 1, 2, relu=False),
            Conv("b.inner", "a", "b.inner", 3, 2),
            Conv("b", "b.inner", "b", 3, residual="b.shortcut", relu=False),
            Conv("c", "b", "c", 3, 2, relu=False),
        ),
        (Level("a", 16, 4), Level("b", 24, 8), Level("c", 24, 16)),
    )
    rng, channels = np.random.default_rng(5), {"input": 3, "pool": 16, "stem": 16, "a.inner": 16, "a": 16}
    weights: dict[str, NDArray[np.float32]] = {}
    for layer in spec.layers:
        if isinstance(layer, Conv):
            before, after = channels[layer.source], channels.setdefault(layer.output, 24)
            spread = (2 / (before * layer.kernel**2)) ** 0.5
            kernel = rng.normal(0, spread, (after, before, layer.kernel, layer.kernel))
            weights[f"{layer.weights}.weight"] = kernel.astype(np.float32)
            weights[f"{layer.weights}.bias"] = rng.normal(0, 0.3, after).astype(np.float32)
    return Backbone(spec, weights)


def level_models(backbone: Backbone, size_px: tuple[int, int]) -> list[bytes]:
    """For every level of `backbone` a model of the bundle contract whose scores are all its channels, one by one."""
    models, (width, height) = [], size_px
    for level in backbone.spec.levels:
        graph = GraphBuilder()
        value = add_backbone(graph, backbone, "picture")[level.name]
        rows, columns = height // level.stride_px, width // level.stride_px
        flat = graph.add("Reshape", [value, graph.constant(np.array([0, 1, level.channels * rows, columns], np.int64))])
        models.append(
            graph.build(
                {"picture": (onnx.TensorProto.UINT8, ["n", 3, height, width])},
                {"scores": (flat, ["n", 1, level.channels * rows, columns])},
            )
        )
    return models
