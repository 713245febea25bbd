"""Features of pictures: a backbone's levels, projected, mixed and brought to one grid, run by ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import GRID_STRIDE_PX, Backbone, add_doubling, add_halving
from engines.onnx_graph import GraphBuilder
from engines.onnx_session import cpu_options, cpu_session
from engines.tiling import add_tiled_backbone

Features = NDArray[np.float32]
"""(N, d, h, w) float32."""
CompactFeatures = NDArray[np.float16] | NDArray[np.float32]
"""(N, d, h, w), in half precision where many are kept."""


def grid_size(size_px: tuple[int, int], stride_px: int = GRID_STRIDE_PX) -> tuple[int, int]:
    """(rows, columns) of the grid of tiles of `stride_px` over a picture of `size_px` (width, height)."""
    return math.ceil(size_px[1] / stride_px), math.ceil(size_px[0] / stride_px)


def grid_origin_px(stride_px: int) -> float:
    """Template pixel of the middle of grid cell 0 (see engines.backbone.add_doubling)."""
    return (stride_px - 1) / 2


def add_mixed_features(graph: GraphBuilder, backbone: Backbone, picture: str, size_px: tuple[int, int]) -> str:
    """Append backbone and mixing to `graph`; returns the tensor (N, C, rows, columns) of all levels' channels.

    Source: F_mixed of 004 §2.2: ResNet stages 1-3 on one grid.
    """
    levels = add_tiled_backbone(graph, backbone, picture, size_px)
    parts = []
    for level in backbone.spec.levels:
        value, stride_px = _coarsened(graph, levels[level.name], level.stride_px, backbone.grid_stride_px)
        while stride_px > backbone.grid_stride_px:
            value, stride_px = _finer(graph, value, stride_px, size_px, channels_last=False), stride_px // 2
        parts.append(value)
    return graph.add("Concat", parts, axis=1)


def add_place_features(
    graph: GraphBuilder,
    backbone: Backbone,
    picture: str,
    size_px: tuple[int, int],
    projection: NDArray[np.float32],
    places: NDArray[np.int64] | None = None,
) -> str:
    """Append backbone, mixing and `projection` (d, C) to `graph`; returns the tensor (N, P, d).

    Args: places: (P,) ascending flat indices into the grid, of those that count; None: all of them.
    Every level is brought to the grid, and what counts of all levels is projected by one product. Channels lie last, as
    convolutions on 8 bits leave them and as the feature model reads them.
    """
    levels = add_tiled_backbone(graph, backbone, picture, size_px)
    rows, columns = grid_size(size_px, backbone.grid_stride_px)
    parts = []
    for level in backbone.spec.levels:
        value, stride_px = _coarsened(graph, levels[level.name], level.stride_px, backbone.grid_stride_px)
        value = graph.add("Transpose", [value], perm=[0, 2, 3, 1])
        while stride_px > backbone.grid_stride_px:
            value, stride_px = _finer(graph, value, stride_px, size_px, channels_last=True), stride_px // 2
        shape = graph.constant(np.array([0, rows * columns, level.channels], np.int64))
        value = graph.add("Reshape", [value, shape])
        if places is not None and len(places) < rows * columns:
            value = graph.add("Gather", [value, graph.constant(places)], axis=1)
        parts.append(value)
    mixed = graph.add("Concat", parts, axis=2) if len(parts) > 1 else parts[0]
    return graph.add("MatMul", [mixed, graph.constant(np.ascontiguousarray(projection.T, np.float32))])


def _coarsened(graph: GraphBuilder, tensor: str, stride_px: int, grid_stride_px: int) -> tuple[str, int]:
    """A level (N, C, h, w), and its stride, brought to the grid where it is finer: where `on_grid` has not done so."""
    while stride_px < grid_stride_px:
        tensor, stride_px = add_halving(graph, tensor), 2 * stride_px
    return tensor, stride_px


def _finer(graph: GraphBuilder, tensor: str, stride_px: int, size_px: tuple[int, int], *, channels_last: bool) -> str:
    """A tensor of `stride_px` at half that stride, without the cells beyond a picture of `size_px`."""
    doubled = add_doubling(graph, tensor, channels_last=channels_last)
    (rows, columns), half_px = grid_size(size_px, stride_px), stride_px // 2
    ends = grid_size(size_px, half_px)
    if ends == (2 * rows, 2 * columns):
        return doubled
    return _cut(graph, doubled, ends, (1, 2) if channels_last else (2, 3))


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
        self.grid_stride_px = backbone.grid_stride_px
        graph = GraphBuilder()
        width, height = size_px
        if projection is None:
            features = add_mixed_features(graph, backbone, "picture", size_px)
        else:
            features = add_place_features(graph, backbone, "picture", size_px, projection)
            features = graph.add("Transpose", [features], perm=[0, 2, 1])
            shape_kept = [0, len(projection), *grid_size(size_px, backbone.grid_stride_px)]
            grid = graph.constant(np.array(shape_kept, np.int64))
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

    def of_picture(self, picture: NDArray[np.uint8]) -> Features:
        """(1, d, h, w) float32 of `picture` (H, W, 3) uint8 RGB."""
        return self.features(np.ascontiguousarray(picture.transpose(2, 0, 1))[None])
