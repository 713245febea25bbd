"""The shape of a suspected mark: from the window's median, or from the median of only the frames that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.baseline import Baseline
from pipeline.gradient_map import EDGE_NOISE, MARK_AREA_PX, MARK_NOISE, Strength, around, marks, strength_of_some
from pipeline.rolling_median import RollingMedian
from schemas.verdict import Box

MIN_MARKED_FRAMES = 5
"""Fewest frames whose median may confirm an intermittent mark."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """`box_px` around the mark; `strength` (H, W) in units of noise, to draw."""

    box_px: Box
    strength: Strength


def find_shape(
    window: RollingMedian, baseline: Baseline, strength: Strength, box: Box, hit_slots: Sequence[int]
) -> Shape | None:
    """The mark that the median shows in `box`, and as far beyond as it goes on; None when it shows nothing there.

    Args: strength: of the whole window. hit_slots: the slots of the frames that hit the place, for marks on fewer
        than half of the parts.
    """
    found = marks(strength, MARK_NOISE, MARK_AREA_PX, box, EDGE_NOISE)
    if found:
        seen = around(found)
        beyond = [mark for mark in marks(strength, MARK_NOISE, MARK_AREA_PX) if overlap(mark.box_px, seen)]
        return Shape(_inner(around(found + beyond)), strength)
    if len(hit_slots) < MIN_MARKED_FRAMES:
        return None
    x, y, w, h = box
    partial = np.zeros_like(strength)
    partial[y : y + h, x : x + w] = strength_of_some(window, list(hit_slots), baseline, box)
    found = marks(partial, MARK_NOISE, MARK_AREA_PX, box, EDGE_NOISE)
    return Shape(_inner(around(found)), partial) if found else None


def _inner(box: Box) -> Box:
    """The mark within the `box` of its gradients, which reach one pixel beyond it on every side."""
    x, y, w, h = box
    left, top = (1 if w > 4 else 0), (1 if h > 4 else 0)
    return x + left, y + top, w - 2 * left, h - 2 * top


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share a pixel."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def grown(box: Box, by_px: tuple[int, int], shape: tuple[int, int]) -> Box:
    """`box` with (x, y) `by_px` more on every side, inside a picture of `shape` (H, W)."""
    x, y, w, h = box
    left, top = max(x - by_px[0], 0), max(y - by_px[1], 0)
    right, bottom = min(x + w + by_px[0], shape[1]), min(y + h + by_px[1], shape[0])
    return left, top, right - left, bottom - top
