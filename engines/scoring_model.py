"""What training, calibration and export ask of a fitted model, whichever way it scores."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.backbone import Backbone
from engines.features import CompactFeatures
from engines.onnx_graph import GraphBuilder

Float = NDArray[np.float32]


class ScoringModel(Protocol):
    """A model of good parts: projected features (N, d, h, w) in, a score a place out."""

    @property
    def projection(self) -> Float:
        """(d, C) what the backbone's features are projected by before they are scored."""
        ...

    def distances(self, projected: CompactFeatures) -> Float:
        """(N, P) how unlike good parts each scored place of projected features (N, d, h, w) is."""
        ...

    def levels(self, distances: Float) -> Float:
        """(N,) level of each frame from its `distances` (N, P)."""
        ...

    def graded(self, distances: Float) -> Float:
        """(N, h, w) scores from `distances` (N, P); 0 where a place is not scored."""
        ...

    def score(self, projected: CompactFeatures) -> Float:
        """(N, h, w) scores of projected features; the numpy twin of the exported graph."""
        ...

    def scaled(self, scale: float, least_level: float) -> ScoringModel:
        """The same model whose scores are divided by `scale`; frames' levels count as `least_level` at least."""
        ...

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        ...


def add_spread(graph: GraphBuilder, flat: str, places: NDArray[np.int64], n_cells: int) -> str:
    """Append to `graph` what brings `flat` (N, 1, P) scores of `places` to (N, 1, n_cells), 0 elsewhere."""
    index = np.full(n_cells, len(places), np.int64)
    index[places] = np.arange(len(places))
    padded = graph.add("Pad", [flat, graph.constant(np.array([0, 0, 0, 0, 0, 1], np.int64))])
    return graph.add("Gather", [padded, graph.constant(index)], axis=2)
