"""What training, calibration and export ask of a fitted model, whichever way it scores."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import onnx
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

    def judge(self, projected: CompactFeatures) -> tuple[Float, Float]:
        """(N, h, w) scores of projected features (N, d, h, w), and the (N,) level of each frame."""
        ...

    def score(self, projected: CompactFeatures) -> Float:
        """(N, h, w) scores of projected features; the numpy twin of the exported graph."""
        ...

    def scaled(self, scale: float, least_level: float) -> Self:
        """The same model whose scores are divided by `scale`; frames' levels count as `least_level` at least."""
        ...

    def export(self, backbone: Backbone, size_px: tuple[int, int]) -> bytes:
        """ONNX: `picture` (N, 3, H, W) uint8 RGB -> `scores` (N, 1, h, w) float32, for pictures of `size_px` (W, H)."""
        ...


def build_scores(
    graph: GraphBuilder, flat: str, places: NDArray[np.int64], grid: tuple[int, int], size_px: tuple[int, int]
) -> bytes:
    """ONNX of `graph`, whose `flat` (N, 1, P) are the scores of `places`; elsewhere on the `grid` (h, w) they are 0.

    Inputs and outputs are those of `ScoringModel.export`.
    """
    (rows, columns), (width, height) = grid, size_px
    if len(places) != rows * columns:
        index = np.full(rows * columns, len(places), np.int64)
        index[places] = np.arange(len(places))
        padded = graph.add("Pad", [flat, graph.constant(np.array([0, 0, 0, 0, 0, 1], np.int64))])
        flat = graph.add("Gather", [padded, graph.constant(index)], axis=2)
    scores = graph.add("Reshape", [flat, graph.constant(np.array([0, 1, rows, columns], np.int64))])
    return graph.build(
        {"picture": (onnx.TensorProto.UINT8, ["n", 3, height, width])}, {"scores": (scores, ["n", 1, rows, columns])}
    )
