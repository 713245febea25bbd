"""The paper's localiser: a mapping network brings each place's features near that place's centre; one ONNX graph.

A picture's mixed features f (C channels a grid place) go through N_M, 1x1 convolutions with rectifiers
between them; a place p scores ``0.5 * (1 - cos(N_M(f_p), c_p)) / scale``, c_p its own centre (a feature map as the
target). Whitening f is linear, so the graph has it within N_M's first convolution. Places that are not scored score 0.
Source: 004 §2.2, eq. 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.features import CompactFeatures, add_place_features
from engines.onnx_graph import GraphBuilder
from engines.scoring_model import Float, build_scores

_LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One 1x1 convolution: `weight` (out, in), `bias` (out,)."""

    weight: Float
    bias: Float


@dataclass(frozen=True, slots=True, eq=False)
class MappingModel:
    """A trained N_M for a grid (h, w), scoring P of its places.

    `projection` (d, C) before the first layer; `layers`: N_M on projected features, a rectifier between any two;
    `places` (P,) int64 flat indices into the grid, ascending; `centres` (P, m) of unit length; `scale`: what a
    typical good part scores before division.
    """

    projection: Float
    layers: tuple[Dense, ...]
    grid: tuple[int, int]
    places: NDArray[np.int64]
    centres: Float
    scale: float = 1.0

    def scaled(self, scale: float, least_level: float = 0.0) -> MappingModel:
        """The same model with another `scale`; it knows no levels of frames."""
        return replace(self, scale=scale)

    def judge(self, projected: CompactFeatures) -> tuple[Float, Float]:
        """(N, h, w) scores of projected features (N, d, h, w), and (N,) ones: an angle needs no frame's own level."""
        return self.score(projected), np.ones(len(projected), np.float32)

    def score(self, projected: CompactFeatures) -> Float:
        """(N, h, w) scores of projected features (N, d, h, w), any float type; the numpy twin of the exported graph."""
        scores = np.zeros((len(projected), self.grid[0] * self.grid[1]), np.float32)
        scores[:, self.places] = self.distances(projected) / np.float32(self.scale)
        return scores.reshape(len(scores), *self.grid)

    def distances(self, projected: CompactFeatures) -> Float:
        """(N, P) half the cosine distance of projected features (N, d, h, w) to their place's centre."""
        found = np.zeros((len(projected), len(self.places)), np.float32)
        for index, picture in enumerate(projected):
            value = picture.reshape(len(picture), -1)[:, self.places].T.astype(np.float32)
            for number, layer in enumerate(self.layers):
                value = (np.maximum(value, 0) if number else value) @ layer.weight.T + layer.bias
            length = np.maximum(np.sqrt(np.square(value).sum(1)), _LEAST_LENGTH)
            found[index] = (1 - (value * self.centres).sum(1) / length) / 2
        return found

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        graph = GraphBuilder()
        first = np.asarray(self.layers[0].weight @ self.projection, np.float32)
        value = add_place_features(graph, backbone, "picture", size_px, first, self.places)
        flat = self._add_distances(graph, self._add_rest(graph, value))
        return build_scores(graph, flat, self.places, self.grid, size_px)

    def add_scores(self, graph: GraphBuilder, z: str) -> str:
        """Append N_M and the distance to `graph`: (N, 1, P) scores of projected features `z` (N, P, d)."""
        first = graph.constant(np.ascontiguousarray(self.layers[0].weight.T))
        return self._add_distances(graph, self._add_rest(graph, graph.add("MatMul", [z, first])))

    def _add_rest(self, graph: GraphBuilder, value: str) -> str:
        """(N, P, m) mapped features from `value` (N, P, hidden): N_M after the product of its first layer."""
        value = graph.add("Add", [value, graph.constant(self.layers[0].bias)])
        for layer in self.layers[1:]:
            weight = graph.constant(np.ascontiguousarray(layer.weight.T))
            value = graph.add("MatMul", [graph.add("Relu", [value]), weight])
            value = graph.add("Add", [value, graph.constant(layer.bias)])
        return value

    def _add_distances(self, graph: GraphBuilder, value: str) -> str:
        """(N, 1, P) scores of mapped features `value` (N, P, m)."""
        channels = graph.constant(np.array([2], np.int64))
        along = graph.add("Mul", [value, graph.constant(self.centres)])
        along = graph.add("ReduceSum", [along, channels], keepdims=0)
        length = graph.add("ReduceL2", [value], axes=[2], keepdims=0)
        length = graph.add("Max", [length, graph.constant(np.array(_LEAST_LENGTH, np.float32))])
        cosine = graph.add("Div", [along, length])
        away = graph.add("Sub", [graph.constant(np.array(1, np.float32)), cosine])
        scores = graph.add("Mul", [away, graph.constant(np.array(0.5 / self.scale, np.float32))])
        return graph.add("Unsqueeze", [scores, graph.constant(np.array([1], np.int64))])
