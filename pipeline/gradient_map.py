"""The median-gradient map of a window, how far it is from the golden baseline, and the marks that stand out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.baseline import MEDIAN_SPREAD, MIN_BASELINE_FRAMES, Baseline, learn_baseline
from pipeline.exact_kernel import exact_kernel
from pipeline.lanes import add, shift_right
from pipeline.rolling_median import RollingMedian, gradients
from schemas.verdict import Box

__all__ = ["MIN_BASELINE_FRAMES", "Baseline", "Mark", "deviation", "learn_baseline", "magnitude", "marks"]

MARK_NOISE = 6.0
"""Units of noise from which a pixel of a suspected place belongs to a mark."""
MARK_AREA_PX = 6
EDGE_NOISE = 4.0
"""Units of noise down to which a mark is followed outward from there."""
ALONE_NOISE = 8.0
"""The same where no alarm has suspected anything."""
ALONE_AREA_PX = 12
Strength = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mark:
    """A connected mark: its box in template pixels, its area and its largest deviation (units of noise)."""

    box_px: Box
    area_px: int
    peak: float


def magnitude(twice_median: NDArray[np.int32]) -> Strength:
    """Length of the median gradient vector, (H, W) float32 (003 §3.4). Args: twice_median: (2, H, W)."""
    half = twice_median.astype(np.float32) * np.float32(0.5)
    return np.asarray(np.hypot(half[0], half[1]), np.float32)


def deviation(window: RollingMedian, baseline: Baseline) -> Strength:
    """How far the window's median gradient lies from the baseline's, in units of noise, (H, W) float32.

    The unit is the standard deviation of a difference of two medians, one of the window's frames and one of the
    baseline's. It is 0 on the outermost pixels and where fewer than half of the frames count.
    """
    low, high, shift, count = window.middle_keys()
    spread = MEDIAN_SPREAD * float(np.sqrt(1.0 / max(window.n_frames, 1) + 1.0 / baseline.n_frames))
    height, width = window.shape
    square = np.zeros(height * width, np.float32)
    flat = (baseline.median.reshape(2, -1), baseline.noise.reshape(2, -1))
    _deviate(low, high, shift, *flat, np.float32(1.0 / spread), square)
    strength = np.sqrt(square, out=square).reshape(height, width)
    strength[[0, -1]] = 0
    strength[:, [0, -1]] = 0
    if count is not None:
        strength[(count.reshape(2, height, width) * 2 < window.n_frames).any(axis=0)] = 0
    return strength


@exact_kernel
def _deviate(
    lo: NDArray[Any], hi: NDArray[Any], shift: int, median: Strength, noise: Strength, scale: np.float32,
    square: Strength,
) -> None:  # fmt: skip
    half = np.float32(0.5)
    by = lo.dtype.type(shift)
    for axis in range(2):
        low, high, flat, unit = lo[axis], hi[axis], median[axis], noise[axis]
        for i in range(square.size):
            gradient = np.float32(add(shift_right(low[i], by), shift_right(high[i], by))) * half
            off = (gradient - flat[i]) / unit[i] * scale
            square[i] += off * off


def marks(
    strength: Strength,
    least_noise: float,
    least_area_px: int,
    within: Box | None = None,
    edge_noise: float | None = None,
) -> list[Mark]:
    """Connected pixels (8 neighbours, gaps of 2 px closed) of at least `least_noise`, largest area first.

    Args: within: look only in this box of the template. edge_noise: a mark reaches on over pixels of at least this,
        its area counting only those of `least_noise`; None: it ends with the latter.
    """
    x0, y0, w, h = within or (0, 0, strength.shape[1], strength.shape[0])
    view = strength[y0 : y0 + h, x0 : x0 + w]
    marked = view >= np.float32(least_noise)
    if int(np.count_nonzero(marked)) < least_area_px:
        return []
    reached = marked if edge_noise is None else view >= np.float32(edge_noise)
    closed = cv2.morphologyEx(reached.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    found: list[Mark] = []
    for label in range(1, count):
        x, y, w, h = (int(v) for v in stats[label, :4])
        inside = (labels[y : y + h, x : x + w] == label) & marked[y : y + h, x : x + w]
        area = int(np.count_nonzero(inside))
        if area >= least_area_px:
            peak = float(view[y : y + h, x : x + w][inside].max())
            found.append(Mark((x0 + x, y0 + y, w, h), area, peak))
    return sorted(found, key=lambda mark: (-mark.area_px, mark.box_px))


def around(found: list[Mark]) -> Box:
    """The box around all of `found` (at least one)."""
    left, top = min(mark.box_px[0] for mark in found), min(mark.box_px[1] for mark in found)
    right = max(mark.box_px[0] + mark.box_px[2] for mark in found)
    bottom = max(mark.box_px[1] + mark.box_px[3] for mark in found)
    return left, top, right - left, bottom - top


def strength_of_some(window: RollingMedian, slots: list[int], baseline: Baseline, box: Box) -> Strength:
    """`deviation` inside `box` (h, w) of the median over only the frames in `slots`: those that show the mark.

    A mark on every fourth part never moves the median of all frames; it moves the median of the parts it is on.
    """
    x, y, w, h = box
    crop = _crops(window, slots, box)
    spread = MEDIAN_SPREAD * float(np.sqrt(1.0 / len(slots) + 1.0 / baseline.n_frames))
    units = (np.median(crop, axis=0) - baseline.median[:, y : y + h, x : x + w]) / baseline.noise[
        :, y : y + h, x : x + w
    ]
    return np.asarray(np.sqrt(units[0] * units[0] + units[1] * units[1]) / spread, np.float32)


def presence(window: RollingMedian, baseline: Baseline, box: Box) -> list[bool]:
    """Which frames of the window, oldest first, show the mark that the window's median shows in `box`.

    Matched filter: the frame's own difference from the baseline, projected on the median's; 1 when the mark is
    there, 0 when not, and the line is drawn at one half.
    """
    x, y, w, h = box
    flat = baseline.median[:, y : y + h, x : x + w].astype(np.float64)
    mark = window.twice_median()[:, y : y + h, x : x + w] * 0.5 - flat
    crops = _crops(window, window.slots(), box) - flat
    power = float((mark * mark).sum())
    shares = (crops * mark).sum(axis=(1, 2, 3)) / max(power, 1e-9)
    return [bool(share > 0.5) for share in shares]


def _crops(window: RollingMedian, slots: list[int], box: Box) -> NDArray[np.float64]:
    x, y, w, h = box
    height, width = window.shape
    left, top, right, bottom = max(x - 1, 0), max(y - 1, 0), min(x + w + 1, width), min(y + h + 1, height)
    pictures = [window.slot(slot).picture[top:bottom, left:right] for slot in slots]
    crops = np.stack([gradients(picture) for picture in pictures])[:, :, y - top : y - top + h, x - left : x - left + w]
    return crops.astype(np.float64)
