"""The feature model: several centres a place, distances in units of what good parts vary; one ONNX graph.

A picture's mixed features f (C channels a grid place) are projected, z = V f (d channels). At each
scored place p the distance is ``D_p = min_k |w_p * (z_p - mean_p) - c_pk|``: w_p the reciprocal spread of good parts
there, c_pk the K centres of that place. Its score is ``D_p / level^power / scale``, where the frame's own level is the
lower quartile of its distances (`least_level` or more): a frame that is restless all over, by its light or its surface,
has to differ by more to stand out. Places that are not scored score 0.
Source: feature MAP as the target, 004 §2.2; centres, units of distance and level are ours (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.features import CompactFeatures, add_place_features
from engines.onnx_graph import GraphBuilder
from engines.scoring_model import build_scores

Float = NDArray[np.float32]
LEVEL_SHARE = 0.25
_LEAST_SHARE = np.float32(1e-5)
"""Of |y|^2 that a squared distance is at least: a difference of such numbers is not known better in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureModel:
    """A fitted model for a grid (h, w), scoring P of its places.

    `projection` (d, C); `places` (P,) int64 flat indices into the grid, ascending; `mean`, `weight` (P, d);
    `centres` (P, K, d) in units of weighted features. `power` of the frame's level and `least_level`, see above;
    `scale`: what a typical good part scores before division.
    """

    projection: Float
    grid: tuple[int, int]
    places: NDArray[np.int64]
    mean: Float
    weight: Float
    centres: Float
    power: float = 0.0
    least_level: float = 1e-3
    scale: float = 1.0

    def scaled(self, scale: float, least_level: float = 1e-3) -> FeatureModel:
        """The same model with another `scale` and `least_level`."""
        return replace(self, scale=scale, least_level=least_level)

    @property
    def n_below(self) -> int:
        """How many places lie at or below the frame's level."""
        return max(1, round(LEVEL_SHARE * len(self.places)))

    def levels(self, distances: Float) -> Float:
        """(N,) level of each frame from its `distances` (N, P)."""
        if not len(self.places):
            return np.ones(len(distances), np.float32)
        return np.partition(distances, self.n_below - 1, axis=1)[:, self.n_below - 1]

    def score(self, projected: CompactFeatures) -> Float:
        """(N, h, w) scores of projected features (N, d, h, w), any float type; the numpy twin of the exported graph."""
        return self.graded(self.distances(projected))

    def judge(self, projected: CompactFeatures) -> tuple[Float, Float]:
        """(N, h, w) scores of projected features (N, d, h, w), and the (N,) level of each frame."""
        distances = self.distances(projected)
        return self.graded(distances), self.levels(distances)

    def graded(self, distances: Float) -> Float:
        """(N, h, w) scores from `distances` (N, P)."""
        scores = np.zeros((len(distances), self.grid[0] * self.grid[1]), np.float32)
        level = np.maximum(self.levels(distances), np.float32(self.least_level))
        scores[:, self.places] = distances / (level[:, None] ** np.float32(self.power) * np.float32(self.scale))
        return scores.reshape(len(scores), *self.grid)

    def distances(self, projected: CompactFeatures) -> Float:
        """(N, P) distances of projected features (N, d, h, w), any float type, to the nearest centre of each place."""
        n, d = projected.shape[:2]
        found = np.zeros((n, len(self.places)), np.float32)
        half_squares = np.square(self.centres).sum(2)[:, None] / 2
        for start in range(0, n, 16):
            z = projected[start : start + 16].reshape(-1, d, self.grid[0] * self.grid[1])[:, :, self.places]
            y = (z.transpose(2, 0, 1).astype(np.float32) - self.mean[:, None]) * self.weight[:, None]
            nearest = (y @ self.centres.transpose(0, 2, 1) - half_squares).max(2)
            own = np.square(y).sum(2)
            squares = np.maximum(own - 2 * nearest, own * _LEAST_SHARE)
            found[start : start + 16] = np.sqrt(squares).T
        return found

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        graph = GraphBuilder()
        z = add_place_features(graph, backbone, "picture", size_px, self.projection, self.places)
        return build_scores(graph, self.add_scores(graph, z), self.places, self.grid, size_px)

    def add_scores(self, graph: GraphBuilder, z: str) -> str:
        """Append to `graph` (N, 1, P) scores of projected features `z` (N, P, d) at the scored places."""
        y = graph.add("Mul", [graph.add("Sub", [z, graph.constant(self.mean)]), graph.constant(self.weight)])
        return self._add_grading(graph, graph.add("Sqrt", [self._add_squares(graph, y)]))

    def _add_squares(self, graph: GraphBuilder, y: str) -> str:
        """(N, 1, P) squared distance of `y` (N, P, d) to the nearest centre: |y|^2 - 2 max_k (y c_k - |c_k|^2 / 2)."""
        centres = self.centres.astype(np.float16)
        own = graph.add("ReduceSumSquare", [y], axes=[2], keepdims=0)
        columns = graph.add("Unsqueeze", [y, graph.constant(np.array([3], np.int64))])
        table = graph.add("Cast", [graph.constant(centres)], to=onnx.TensorProto.FLOAT)
        products = graph.add("MatMul", [table, columns])  # (N, P, K, 1)
        half = np.square(centres.astype(np.float32)).sum(2)[:, :, None] / 2
        nearest = graph.add("Sub", [products, graph.constant(half.astype(np.float32))])
        nearest = graph.add("ReduceMax", [nearest], axes=[2, 3], keepdims=0)
        squares = graph.add("Sub", [own, graph.add("Add", [nearest, nearest])])
        squares = graph.add("Max", [squares, graph.add("Mul", [own, graph.constant(np.array(_LEAST_SHARE))])])
        return graph.add("Unsqueeze", [squares, graph.constant(np.array([1], np.int64))])

    def _add_grading(self, graph: GraphBuilder, distances: str) -> str:
        """(N, 1, P) scores from `distances` (N, 1, P): see `graded`."""
        if self.power == 0 or not len(self.places):
            return graph.add("Mul", [distances, graph.constant(np.array(1 / self.scale, np.float32))])
        lowest, _ = graph.add_two("TopK", [distances, graph.constant(np.array([self.n_below], np.int64))], largest=0)
        level = graph.add("ReduceMax", [lowest], axes=[2], keepdims=1)
        level = graph.add("Max", [level, graph.constant(np.array(self.least_level, np.float32))])
        level = graph.add("Pow", [level, graph.constant(np.array(self.power, np.float32))])
        return graph.add(
            "Div", [distances, graph.add("Mul", [level, graph.constant(np.array(self.scale, np.float32))])]
        )
