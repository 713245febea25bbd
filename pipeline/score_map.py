"""From a score grid to a score map and a frame score: one definition for calibration, evaluation and the line.

The score map is the grid, upsampled by linear interpolation between cell centres and smoothed by a
Gaussian. Both are linear and separable, so the map is ``rows @ grid @ columns.T`` with two small matrices
made once. Cells that may not be scored (outside the frame, ignored, background) take no part: the map is
then the normalised sum over the others. The frame score is a robust maximum: the greatest score that at
least `robust_area_px` pixels reach.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.manifest import ScoreSettings

UNSCORED = -np.inf
"""Value of the score map where nothing may be scored."""
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMapper:
    """Makes score maps of one size. `rows` (H, h), `columns` (W, w) float32."""

    settings: ScoreSettings
    rows: NDArray[np.float32]
    columns: NDArray[np.float32]

    @classmethod
    def build(cls, settings: ScoreSettings, input_size_px: tuple[int, int], grid_shape: tuple[int, int]) -> ScoreMapper:
        """For grids of `grid_shape` (h, w) on a template of `input_size_px` (W, H)."""
        width, height = input_size_px
        return cls(settings, _spread(settings, height, grid_shape[0]), _spread(settings, width, grid_shape[1]))

    def map(self, grid: NDArray[np.float32], scored: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """The score map of `grid` (h, w).

        Args: scored: (H, W) bool, pixels that may be scored; None: all.
        Returns: (H, W) float32, `UNSCORED` where `scored` is False.
        """
        if scored is None:
            return np.asarray(self.rows @ grid @ self.columns.T, np.float32)
        cells = self.cells(scored)
        weight = self.rows @ cells @ self.columns.T
        total = self.rows @ (grid * cells) @ self.columns.T
        reached = scored & (weight > _LEAST_WEIGHT)
        return np.where(reached, total / np.maximum(weight, _LEAST_WEIGHT), np.float32(UNSCORED)).astype(np.float32)

    def cells(self, scored: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(h, w) float32: 1 where at least half of the tile around a cell's centre may be scored, else 0."""
        height, width = scored.shape
        stride, origin = self.settings.grid_stride_px, self.settings.grid_origin_px
        side = max(1, round(stride))
        share = cv2.boxFilter(scored.astype(np.float32), -1, (side, side), borderType=cv2.BORDER_REPLICATE)
        y = np.clip(np.rint(origin + stride * np.arange(self.rows.shape[1])).astype(int), 0, height - 1)
        x = np.clip(np.rint(origin + stride * np.arange(self.columns.shape[1])).astype(int), 0, width - 1)
        return np.asarray(share[np.ix_(y, x)] >= 0.5, np.float32)

    def frame_score(self, score_map: NDArray[np.float32], min_area_px: int = 1) -> float:
        """The greatest score that at least max(`robust_area_px`, `min_area_px`) pixels of the map reach.

        -inf when fewer pixels than that may be scored: the frame shows too little of the part.
        """
        n = max(self.settings.robust_area_px, min_area_px)
        if n > score_map.size:
            return UNSCORED
        flat = score_map.ravel()
        return float(np.partition(flat, flat.size - n)[flat.size - n])


def scored_pixels(
    valid: NDArray[np.bool_] | None, fixed: NDArray[np.bool_] | None, border_px: int
) -> NDArray[np.bool_] | None:
    """Where a frame may be scored: `valid` kept `border_px` off the frame's edge, and `fixed`; None: everywhere."""
    if valid is None:
        return fixed
    if border_px:
        kernel = np.ones((2 * border_px + 1, 2 * border_px + 1), np.uint8)
        eroded = cv2.erode(valid.view(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)
        valid = eroded.astype(np.bool_)
    return valid if fixed is None else valid & fixed


def _spread(settings: ScoreSettings, n_px: int, n_cells: int) -> NDArray[np.float32]:
    return _spread_matrix(settings.grid_stride_px, settings.grid_origin_px, settings.smooth_sigma_px, n_px, n_cells)


@lru_cache(maxsize=16)
def _spread_matrix(stride: float, origin: float, sigma: float, n_px: int, n_cells: int) -> NDArray[np.float32]:
    """(n_px, n_cells): each row holds the weights, summing to 1, of the cells in one pixel of the map."""
    place = np.clip((np.arange(n_px) - origin) / stride, 0, n_cells - 1)
    lower = np.minimum(place.astype(int), max(n_cells - 2, 0))
    part = place - lower
    linear = np.zeros((n_px, n_cells))
    linear[np.arange(n_px), lower] = 1 - part
    if n_cells > 1:
        linear[np.arange(n_px), lower + 1] = part
    if sigma > 0:
        reach = math.ceil(4 * sigma)
        distance = np.arange(-reach, reach + 1)
        kernel = np.exp(-0.5 * (distance / sigma) ** 2)
        padded = np.pad(linear, ((reach, reach), (0, 0)), mode="edge")
        linear = sum(weight * padded[i : i + n_px] for i, weight in enumerate(kernel / kernel.sum()))
    spread = np.ascontiguousarray(linear, np.float32)
    spread.setflags(write=False)
    return spread
