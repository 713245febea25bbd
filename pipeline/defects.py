"""Defects: connected regions of the score map above a threshold, in template and frame coordinates."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Transform, apply
from schemas.verdict import Box, Defect

MAX_DEFECTS = 64


def find_defects(
    score_map: NDArray[np.float32],
    threshold: float,
    min_area_px: int,
    transform: Transform,
    frame_size_px: tuple[int, int],
) -> tuple[Defect, ...]:
    """Regions (8-connected) of `score_map` (H, W) at or above `threshold`, the highest score first.

    Regions under `min_area_px` are left out, unless none is as large: then the highest stands alone, for a
    frame over its threshold always has a place to look at. At most `MAX_DEFECTS`.
    """
    above = (score_map >= threshold).astype(np.uint8)
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    regions = []
    for label in range(1, n_labels):
        x, y, w, h, area = (int(value) for value in stats[label])
        inside = labels[y : y + h, x : x + w] == label
        score = float(score_map[y : y + h, x : x + w][inside].max())
        regions.append((-score, y, x, w, h, area, inside))
    regions.sort(key=lambda region: region[:6])
    large = [region for region in regions if region[5] >= min_area_px]
    found = []
    for minus_score, y, x, w, h, area, inside in (large or regions[:1])[:MAX_DEFECTS]:
        box = _box_in_frame(inside, x, y, transform, frame_size_px)
        found.append(Defect(bbox_px=box, template_bbox_px=(x, y, w, h), area_px=area, score=-minus_score))
    return tuple(found)


def _box_in_frame(
    inside: NDArray[np.bool_], x: int, y: int, transform: Transform, frame_size_px: tuple[int, int]
) -> Box:
    """The upright box in the frame around a region, clipped to the frame; tight at any angle."""
    rows = np.flatnonzero(inside.any(axis=1))
    first, last = inside.argmax(axis=1)[rows], inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)[rows]
    columns = np.concatenate((first, last))  # no pixel between the ends of its row can reach further
    centres = np.stack((columns + x, np.tile(rows, 2) + y), axis=1).astype(np.float64)
    corners = np.concatenate([centres + offset for offset in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))])
    points = apply(transform, corners) + 0.5
    low = np.clip(np.floor(points.min(axis=0) + 1e-6), 0, np.array(frame_size_px) - 1).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) - 1e-6), low + 1, frame_size_px).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
