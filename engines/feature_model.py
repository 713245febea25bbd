"""The feature model: one centre a place, distances in a space where defects stand out; exported as one ONNX graph.

A picture's mixed features f (C channels a grid place, stride 8) are projected, z = V f (d channels). At each
place p the score is ``sqrt(mean_k gain_k (z_k - c_pk)^2 / v_pk) / level_p``: c the centre map, v the variance of
good parts there, gain how telling a direction is (see engines/feature_fit.py), level what good parts score.
Source: feature MAP as the target, 004 §2.2; the variance-aware distance is ours (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.features import Features, add_mixed_features
from engines.onnx_graph import GraphBuilder

Float = NDArray[np.float32]
GRID_ORIGIN_PX = 0.0
"""Template pixel of the centre of grid cell 0 (see backbone.to_grid)."""


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """`matrix` (d, C) takes mixed features to z; `gain` (d,) in [0, 1] weighs the squares."""

    matrix: Float
    gain: Float


@dataclass(frozen=True, slots=True, eq=False)
class FeatureModel:
    """A fitted model. `centres` (d, h, w); `weights` (d, h, w) = gain / variance / d, 0 where nothing is known."""

    projection: Projection
    centres: Float
    weights: Float
    level: Float
    """(h, w) what good parts score at each place, > 0; scores are multiples of it."""

    def score(self, projected: Features) -> Float:
        """(N, h, w) scores of projected features (N, d, h, w); the numpy twin of the exported graph."""
        return np.stack([np.sqrt(self._squared(z)) / self.level for z in projected])

    def _squared(self, z: Float) -> Float:
        return np.asarray((np.square(z - self.centres) * self.weights).sum(0), np.float32)

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        graph = GraphBuilder()
        # the centre is subtracted as part of the sum that mixes the levels, the weights are folded into one product
        root = np.sqrt(self.weights)
        z = add_mixed_features(graph, backbone, "picture", size_px, self.projection.matrix)
        away = graph.add("Sub", [z, graph.constant(self.centres[None])])
        away = graph.add("Mul", [away, graph.constant((root / self.level)[None].astype(np.float32))])
        squares = graph.add("Mul", [away, away])
        ones = graph.constant(np.ones((1, len(self.centres), 1, 1), np.float32))
        total = graph.add("Conv", [squares, ones], kernel_shape=[1, 1])
        scores = graph.add("Sqrt", [total])
        width, height = size_px
        rows, columns = self.level.shape
        return graph.build(
            {"picture": (onnx.TensorProto.UINT8, ["n", 3, height, width])},
            {"scores": (scores, ["n", 1, rows, columns])},
        )
