"""Large pictures through a backbone tile by tile: the memory of one tile, the levels of the whole picture.

Tiles overlap by what a place can see of its surroundings, so every place sees what it would see untiled: levels are
equal to those of the whole picture, on 8 bits to the bit. All tiles are in one graph and share its constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.backbone import Backbone, BackboneSpec, MaxPool, add_backbone
from engines.onnx_graph import GraphBuilder

TILE_PX = 1024
"""Sides of what tiles contribute, in pixels; pictures with no longer side are not cut."""


@dataclass(frozen=True, slots=True)
class Span:
    """Pixels along one axis: a tile contributes `start` to `end` and sees `seen_start` to `seen_end`."""

    start: int
    end: int
    seen_start: int
    seen_end: int


def add_tiled_backbone(
    graph: GraphBuilder, backbone: Backbone, picture: str, size_px: tuple[int, int], tile_px: int = TILE_PX
) -> dict[str, str]:
    """`engines.backbone.add_backbone` for a `picture` of `size_px` (width, height), in tiles when that is large.

    Args: tile_px: a multiple of the coarsest stride.
    """
    if max(size_px) <= tile_px:
        return add_backbone(graph, backbone, picture)
    columns, rows = (spans(side, tile_px, sight_px(backbone.spec)) for side in size_px)
    bands: dict[str, list[str]] = {level.name: [] for level in backbone.spec.levels}
    for row in rows:
        pieces: dict[str, list[str]] = {name: [] for name in bands}
        for column in columns:
            tile = _slice(graph, picture, (row.seen_start, column.seen_start), (row.seen_end, column.seen_end))
            levels = add_backbone(graph, backbone, tile)
            for level in backbone.spec.levels:
                (top, bottom), (left, right) = (_cells(span, level.stride_px) for span in (row, column))
                pieces[level.name].append(_slice(graph, levels[level.name], (top, left), (bottom, right)))
        for name, found in pieces.items():
            bands[name].append(graph.add("Concat", found, axis=3) if len(found) > 1 else found[0])
    return {name: graph.add("Concat", found, axis=2) if len(found) > 1 else found[0] for name, found in bands.items()}


def spans(side_px: int, tile_px: int, sight: int) -> list[Span]:
    """Tiles along a side of `side_px`, each with `sight` pixels more on both ends, where there are any."""
    starts = range(0, side_px, tile_px)
    ends = [min(start + tile_px, side_px) for start in starts]
    return [Span(a, b, max(a - sight, 0), min(b + sight, side_px)) for a, b in zip(starts, ends, strict=True)]


def sight_px(spec: BackboneSpec) -> int:
    """How far a place sees, in pixels, rounded up to whole cells of the coarsest level, so that tiles keep in step."""
    reach, step = {"input": 0}, {"input": 1}
    for layer in spec.layers:
        kernel, stride = (3, 2) if isinstance(layer, MaxPool) else (layer.kernel, layer.stride)
        reach[layer.output] = reach[layer.source] + kernel // 2 * step[layer.source]
        step[layer.output] = step[layer.source] * stride
        if not isinstance(layer, MaxPool) and layer.residual is not None:
            reach[layer.output] = max(reach[layer.output], reach[layer.residual])
    coarsest = max(level.stride_px for level in spec.levels)
    farthest = max(reach[level.name] for level in spec.levels)
    return -(-farthest // coarsest) * coarsest


def _cells(span: Span, stride_px: int) -> tuple[int, int]:
    """First and end of the cells a tile contributes, counted from where it begins to see."""
    first = (span.start - span.seen_start) // stride_px
    return first, first - (-(span.end - span.start) // stride_px)


def _slice(graph: GraphBuilder, tensor: str, starts: tuple[int, int], ends: tuple[int, int]) -> str:
    given = [graph.constant(np.array(values, np.int64)) for values in (starts, ends, (2, 3))]
    return graph.add("Slice", [tensor, *given])
