"""Both localisers in one: how far a place is from good parts, and how much a generated defect would look like it.

A place scores ``d * sqrt(m + 0.001)``: d what the feature model (engines/feature_model.py) gives it, m the half cosine
distance of the mapping network (engines/mapping_model.py). The first knows good parts closely and no defect; the
second knows what defects do to features. What both find odd stands out. One ONNX graph, one backbone, one projection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engines.backbone import Backbone
from engines.feature_model import FeatureModel
from engines.features import CompactFeatures, add_place_features
from engines.mapping_model import MappingModel
from engines.onnx_graph import GraphBuilder
from engines.scoring_model import Float, build_scores

_FLOOR = np.float32(1e-3)
"""Keeps the root's slope finite, so that what backends round differently stays small."""


@dataclass(frozen=True, slots=True, eq=False)
class CombinedModel:
    """Two models of the same projection, grid and places."""

    distance: FeatureModel
    mapping: MappingModel

    @property
    def projection(self) -> Float:
        """(d, C), that of both."""
        return self.distance.projection

    def scaled(self, scale: float, least_level: float) -> CombinedModel:
        """The same model with another scale, and another least level of its feature model."""
        return replace(self, distance=self.distance.scaled(scale, least_level))

    def judge(self, projected: CompactFeatures) -> tuple[Float, Float]:
        """(N, h, w) scores of projected features (N, d, h, w), and the (N,) level of each frame."""
        grids, levels = self.distance.judge(projected)
        return grids * np.sqrt(np.maximum(self.mapping.score(projected), 0) + _FLOOR), levels

    def score(self, projected: CompactFeatures) -> Float:
        """(N, h, w) scores of projected features; the numpy twin of the exported graph."""
        return self.judge(projected)[0]

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        graph, both = GraphBuilder(), self.distance
        z = add_place_features(graph, backbone, "picture", size_px, self.projection, both.places)
        mapped = graph.add("Relu", [self.mapping.add_scores(graph, z)])
        mapped = graph.add("Sqrt", [graph.add("Add", [mapped, graph.constant(np.array(_FLOOR, np.float32))])])
        flat = graph.add("Mul", [self.distance.add_scores(graph, z), mapped])
        return build_scores(graph, flat, both.places, both.grid, size_px)
