"""Features of pictures: a backbone's levels, projected, mixed and brought to one grid, run by ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import GRID_STRIDE_PX, Backbone, to_grid
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session
from engines.tiling import add_tiled_backbone

Features = NDArray[np.float32]
"""(N, d, h, w) float32."""
CompactFeatures = NDArray[np.float16] | NDArray[np.float32]
"""(N, d, h, w), in half precision where many are kept."""


def grid_size(size_px: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the grid over a picture of `size_px` (width, height)."""
    return math.ceil(size_px[1] / GRID_STRIDE_PX), math.ceil(size_px[0] / GRID_STRIDE_PX)


def add_mixed_features(graph: GraphBuilder, backbone: Backbone, picture: str, size_px: tuple[int, int]) -> str:
    """Append backbone and mixing to `graph`; returns the tensor (N, C, rows, columns) of all levels' channels.

    Source: F_mixed of 004 §2.2: ResNet stages 1-3 on one grid.
    """
    rows, columns = grid_size(size_px)
    levels = add_tiled_backbone(graph, backbone, picture, size_px)
    parts = [to_grid(graph, levels[level.name], level.stride_px) for level in backbone.spec.levels]
    if rows % 2 or columns % 2:
        parts = [
            _cut(graph, part, (rows, columns), (2, 3)) if level.stride_px > GRID_STRIDE_PX else part
            for level, part in zip(backbone.spec.levels, parts, strict=True)
        ]
    return graph.add("Concat", parts, axis=1)


def add_place_features(
    graph: GraphBuilder,
    backbone: Backbone,
    picture: str,
    size_px: tuple[int, int],
    projection: NDArray[np.float32],
) -> str:
    """Append backbone, mixing and `projection` (d, C) to `graph`; returns the tensor (N, rows * columns, d).

    A level is projected on the smaller of itself and the grid: all is linear, so only the cost depends on the order.
    Channels lie last, as convolutions on 8 bits leave them and as the feature model reads them.
    """
    rows, columns = grid_size(size_px)
    levels = add_tiled_backbone(graph, backbone, picture, size_px)
    total, start = "", 0
    for level in backbone.spec.levels:
        value = levels[level.name]
        if level.stride_px < GRID_STRIDE_PX:
            value = to_grid(graph, value, level.stride_px)
        kernel = np.ascontiguousarray(projection[:, start : start + level.channels].T, np.float32)
        value = graph.add("MatMul", [graph.add("Transpose", [value], perm=[0, 2, 3, 1]), graph.constant(kernel)])
        if level.stride_px > GRID_STRIDE_PX:
            value = to_grid(graph, value, level.stride_px, channels_last=True)
            if rows % 2 or columns % 2:
                value = _cut(graph, value, (rows, columns), (1, 2))
        total = graph.add("Add", [total, value]) if total else value
        start += level.channels
    return graph.add("Reshape", [total, graph.constant(np.array([0, rows * columns, len(projection)], np.int64))])


def _cut(graph: GraphBuilder, tensor: str, ends: tuple[int, int], axes: tuple[int, int]) -> str:
    """The first `ends` cells of `tensor` along `axes`."""
    begins = graph.constant(np.array([0, 0], np.int64))
    return graph.add(
        "Slice", [tensor, begins, graph.constant(np.array(ends, np.int64)), graph.constant(np.array(axes, np.int64))]
    )


class FeatureExtractor:
    """Features of pictures of one size, on ONNX Runtime with `n_threads` threads."""

    def __init__(
        self,
        backbone: Backbone,
        size_px: tuple[int, int],
        *,
        projection: NDArray[np.float32] | None = None,
        n_threads: int = 1,
    ) -> None:
        graph = GraphBuilder()
        width, height = size_px
        if projection is None:
            features = add_mixed_features(graph, backbone, "picture", size_px)
        else:
            features = add_place_features(graph, backbone, "picture", size_px, projection)
            features = graph.add("Transpose", [features], perm=[0, 2, 1])
            grid = graph.constant(np.array([0, len(projection), *grid_size(size_px)], np.int64))
            features = graph.add("Reshape", [features, grid])
        shape: list[int | str] = ["n", 3, height, width]
        model = graph.build(
            {"picture": (onnx.TensorProto.UINT8, shape)}, {"features": (features, ["n", "d", "h", "w"])}
        )
        self._session = cpu_session(model, cpu_options(n_threads))

    def features(self, pictures: NDArray[np.uint8]) -> Features:
        """(N, d, h, w) float32 of `pictures` (N, 3, H, W) uint8 RGB, one picture at a time to bound memory."""
        parts = [self._session.run(None, {"picture": pictures[i : i + 1]})[0] for i in range(len(pictures))]
        return np.concatenate(parts)
