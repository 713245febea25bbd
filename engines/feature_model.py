"""The feature model: several centres a place, distances in units of what good parts vary; one ONNX graph.

A picture's mixed features f (C channels a grid place, stride 8) are projected, z = V f (d channels). At each
scored place p the score is ``min_k |w_p * (z_p - mean_p) - c_pk| / scale``: w_p the reciprocal spread of good parts
there, c_pk the K centres of that place. Places that are not scored score 0.
Source: feature MAP as the target, 004 §2.2; several centres and the distance's units are ours (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.features import CompactFeatures, add_mixed_features
from engines.onnx_graph import GraphBuilder

Float = NDArray[np.float32]
GRID_ORIGIN_PX = 0.0
"""Template pixel of the centre of grid cell 0 (see backbone.to_grid)."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureModel:
    """A fitted model for a grid (h, w), scoring P of its places.

    `projection` (d, C); `places` (P,) int64 flat indices into the grid, ascending; `mean`, `weight` (P, d);
    `centres` (P, K, d) in units of weighted features. `scale`: what a typical good part scores before division.
    """

    projection: Float
    grid: tuple[int, int]
    places: NDArray[np.int64]
    mean: Float
    weight: Float
    centres: Float
    scale: float = 1.0

    def scaled(self, scale: float) -> FeatureModel:
        """The same model with another `scale`."""
        return replace(self, scale=scale)

    def score(self, projected: CompactFeatures) -> Float:
        """(N, h, w) scores of projected features (N, d, h, w), any float type; the numpy twin of the exported graph."""
        n, d = projected.shape[:2]
        scores = np.zeros((n, self.grid[0] * self.grid[1]), np.float32)
        half_squares = np.square(self.centres).sum(2)[:, None] / 2
        for start in range(0, n, 16):
            z = projected[start : start + 16].reshape(-1, d, scores.shape[1])[:, :, self.places]
            y = (z.transpose(2, 0, 1).astype(np.float32) - self.mean[:, None]) * self.weight[:, None]
            nearest = (y @ self.centres.transpose(0, 2, 1) - half_squares).max(2)
            squares = np.maximum(np.square(y).sum(2) - 2 * nearest, 0)
            scores[start : start + 16, self.places] = (np.sqrt(squares) / self.scale).T
        return scores.reshape(n, *self.grid)

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        graph = GraphBuilder()
        rows, columns = self.grid
        z = add_mixed_features(graph, backbone, "picture", size_px, self.projection)
        z = graph.add("Reshape", [z, graph.constant(np.array([0, len(self.projection), rows * columns], np.int64))])
        everywhere = len(self.places) == rows * columns
        if not everywhere:
            z = graph.add("Gather", [z, graph.constant(self.places)], axis=2)
        y = graph.add("Sub", [z, graph.constant(np.ascontiguousarray(self.mean.T[None]))])
        y = graph.add("Mul", [y, graph.constant(np.ascontiguousarray(self.weight.T[None] / np.float32(self.scale)))])
        flat = graph.add("Sqrt", [graph.add("Relu", [self._add_squares(graph, y)])])
        if not everywhere:
            flat = self._add_spread(graph, flat)
        scores = graph.add("Reshape", [flat, graph.constant(np.array([0, 1, rows, columns], np.int64))])
        width, height = size_px
        return graph.build(
            {"picture": (onnx.TensorProto.UINT8, ["n", 3, height, width])},
            {"scores": (scores, ["n", 1, rows, columns])},
        )

    def _add_squares(self, graph: GraphBuilder, y: str) -> str:
        """(N, 1, P) squared distance of `y` (N, d, P) to the nearest centre: |y|^2 - 2 max_k (y c_k - |c_k|^2 / 2)."""
        centres = (self.centres / np.float32(self.scale)).astype(np.float16)
        own = graph.add("ReduceSum", [graph.add("Mul", [y, y]), graph.constant(np.array([1], np.int64))], keepdims=1)
        by_place = graph.add("Transpose", [y], perm=[2, 0, 1])
        table = graph.constant(np.ascontiguousarray(centres.transpose(0, 2, 1)))
        products = graph.add("MatMul", [by_place, graph.add("Cast", [table], to=onnx.TensorProto.FLOAT)])
        half = np.square(centres.astype(np.float32)).sum(2)[:, None] / 2
        nearest = graph.add("Sub", [products, graph.constant(half.astype(np.float32))])
        nearest = graph.add("ReduceMax", [nearest], axes=[2], keepdims=1)
        nearest = graph.add("Transpose", [nearest], perm=[1, 2, 0])
        return graph.add("Sub", [own, graph.add("Add", [nearest, nearest])])

    def _add_spread(self, graph: GraphBuilder, flat: str) -> str:
        """(N, 1, P) to (N, 1, h * w), 0 where a place is not scored."""
        index = np.full(self.grid[0] * self.grid[1], len(self.places), np.int64)
        index[self.places] = np.arange(len(self.places))
        padded = graph.add("Pad", [flat, graph.constant(np.array([0, 0, 0, 0, 0, 1], np.int64))])
        return graph.add("Gather", [padded, graph.constant(index)], axis=2)
