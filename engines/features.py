"""Features of pictures: a backbone's levels, projected, mixed and brought to one grid, run by ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import GRID_STRIDE_PX, Backbone, add_backbone, to_grid
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session
from engines.quantise import add_rounding

Features = NDArray[np.float32]
"""(N, d, h, w) float32."""
CompactFeatures = NDArray[np.float16] | NDArray[np.float32]
"""(N, d, h, w), in half precision where many are kept."""


def grid_size(size_px: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of the grid over a picture of `size_px` (width, height)."""
    return math.ceil(size_px[1] / GRID_STRIDE_PX), math.ceil(size_px[0] / GRID_STRIDE_PX)


def add_mixed_features(
    graph: GraphBuilder,
    backbone: Backbone,
    picture: str,
    size_px: tuple[int, int],
    projection: NDArray[np.float32] | None = None,
    bias: NDArray[np.float32] | None = None,
) -> str:
    """Append backbone and mixing to `graph`; returns the tensor (N, d, rows, columns).

    Args: projection: (d, C) applied to the concatenated levels, or None for the C channels themselves; it is
        done level by level, on the smaller of level and grid, which is the same because all is linear, and cheaper.
        bias: (d,).
    Source: F_mixed of 004 §2.2: ResNet stages 1-3 on one grid.
    """
    rows, columns = grid_size(size_px)
    levels = add_backbone(graph, backbone, picture)
    parts: list[str] = []
    start = 0
    for level in backbone.spec.levels:
        value = levels[level.name]
        if level.stride_px < GRID_STRIDE_PX:
            value = to_grid(graph, value, level.stride_px)
            if backbone.ranges is not None:
                value = add_rounding(graph, value, backbone.ranges[level.name])
        if projection is not None:
            kernel = projection[:, start : start + level.channels, None, None].astype(np.float32)
            inputs = [value, graph.constant(kernel)]
            if bias is not None and start == 0:
                inputs.append(graph.constant(bias.astype(np.float32)))
            value = graph.add("Conv", inputs, kernel_shape=[1, 1])
        if level.stride_px > GRID_STRIDE_PX:
            value = to_grid(graph, value, level.stride_px)
        if level.stride_px > GRID_STRIDE_PX and (rows % 2 or columns % 2):
            ends = graph.constant(np.array([rows, columns], np.int64))
            begins, axes = graph.constant(np.array([0, 0], np.int64)), graph.constant(np.array([2, 3], np.int64))
            value = graph.add("Slice", [value, begins, ends, axes])
        parts.append(value)
        start += level.channels
    if projection is None:
        return graph.add("Concat", parts, axis=1)
    total = parts[0]
    for part in parts[1:]:
        total = graph.add("Add", [total, part])
    return total


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
        features = add_mixed_features(graph, backbone, "picture", size_px, projection)
        width, height = size_px
        shape: list[int | str] = ["n", 3, height, width]
        model = graph.build(
            {"picture": (onnx.TensorProto.UINT8, shape)}, {"features": (features, ["n", "d", "h", "w"])}
        )
        self._session = cpu_session(model, cpu_options(n_threads))

    def features(self, pictures: NDArray[np.uint8]) -> Features:
        """(N, d, h, w) float32 of `pictures` (N, 3, H, W) uint8 RGB, one picture at a time to bound memory."""
        parts = [self._session.run(None, {"picture": pictures[i : i + 1]})[0] for i in range(len(pictures))]
        return np.concatenate(parts)
