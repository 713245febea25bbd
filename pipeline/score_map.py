"""From a score grid to a score map and a frame score: one definition for calibration, evaluation and the line.

The score map is the grid, upsampled by linear interpolation between cell centres and smoothed by a
Gaussian. Both are linear and separable, so the map is the grid spread by two small tables of weights, made
once. Cells that may not be scored (outside the frame, ignored, background) take no part: the map is
then the normalised sum over the others. The frame score is a robust maximum: the greatest score that at
least `robust_area_px` pixels reach.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.manifest import ScoreSettings
from pipeline.score_kernels import count_tiles, spread, spread_scored

UNSCORED = -np.inf
"""Value of the score map where nothing may be scored."""
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """How the cells of one axis spread over its pixels: `weights` (n, N) float32, `reach` (n, 2) first and end."""

    weights: NDArray[np.float32]
    reach: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMapper:
    """Makes score maps of one size."""

    settings: ScoreSettings
    rows: _Spread
    columns: _Spread

    @classmethod
    def build(cls, settings: ScoreSettings, input_size_px: tuple[int, int], grid_shape: tuple[int, int]) -> ScoreMapper:
        """For grids of `grid_shape` (h, w) on a template of `input_size_px` (W, H)."""
        width, height = input_size_px
        return cls(settings, _spread(settings, height, grid_shape[0]), _spread(settings, width, grid_shape[1]))

    def map(
        self,
        grid: NDArray[np.float32],
        scored: NDArray[np.bool_] | None = None,
        shown: NDArray[np.bool_] | None = None,
        cells: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The score map of `grid` (h, w).

        Args: scored: (H, W) bool, pixels that may be scored; None: all. shown: (H, W) bool, pixels that get a value,
            from the scored cells around them: up to the frame's edge, where nothing is trusted itself; None: `scored`.
            cells: those of `scored`, where they are known.
        Returns: (H, W) float32, `UNSCORED` where `shown` is False.
        """
        whole = np.ascontiguousarray(grid, np.float32)
        tables = (self.rows.weights, self.rows.reach, self.columns.weights, self.columns.reach)
        if scored is None:
            return spread(whole, *tables)
        pixels = np.ascontiguousarray(scored if shown is None else shown)
        counted = self.cells(scored) if cells is None else cells
        return spread_scored(whole, counted, *tables, pixels, _LEAST_WEIGHT, UNSCORED)

    def cells(self, scored: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(h, w) float32: 1 where at least half of the tile around a cell's centre may be scored, else 0."""
        shape = (len(self.rows.weights), len(self.columns.weights))
        return count_tiles(
            np.ascontiguousarray(scored), self.settings.grid_stride_px, self.settings.grid_origin_px, shape
        )

    @staticmethod
    def masked(grid: NDArray[np.float32], cells: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """`grid` (h, w) with NaN in the `cells` that may not be scored: what lies there says nothing about the part."""
        return grid if cells is None else np.where(cells > 0, grid, np.float32(np.nan))

    def frame_score(self, score_map: NDArray[np.float32], min_area_px: int = 1) -> float:
        """The greatest score that at least max(`robust_area_px`, `min_area_px`) pixels of the map reach.

        -inf when fewer pixels than that may be scored: the frame shows too little of the part.
        """
        n = max(self.settings.robust_area_px, min_area_px)
        if n > score_map.size:
            return UNSCORED
        highest = score_map
        if n <= len(score_map):  # so many rows reach their own maximum: nothing below the n-th of these counts
            of_rows = score_map.max(axis=1)
            highest = score_map[score_map >= np.partition(of_rows, of_rows.size - n)[of_rows.size - n]]
        return float(np.partition(highest, highest.size - n, axis=None)[highest.size - n])


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


def _spread(settings: ScoreSettings, n_px: int, n_cells: int) -> _Spread:
    """Each pixel of the map is a weighted mean of cells: linear between their centres, then smoothed."""
    place = np.clip((np.arange(n_px) - settings.grid_origin_px) / settings.grid_stride_px, 0, n_cells - 1)
    lower = np.minimum(place.astype(int), max(n_cells - 2, 0))
    part = place - lower
    linear = np.zeros((n_px, n_cells))
    linear[np.arange(n_px), lower] = 1 - part
    if n_cells > 1:
        linear[np.arange(n_px), lower + 1] = part
    if settings.smooth_sigma_px > 0:
        reach_px = math.ceil(4 * settings.smooth_sigma_px)
        kernel = np.exp(-0.5 * (np.arange(-reach_px, reach_px + 1) / settings.smooth_sigma_px) ** 2)
        padded = np.pad(linear, ((reach_px, reach_px), (0, 0)), mode="edge")
        linear = sum(weight * padded[i : i + n_px] for i, weight in enumerate(kernel / kernel.sum()))
    weights = np.ascontiguousarray(linear.T, np.float32)
    reached = weights > 0
    ends = n_px - reached[:, ::-1].argmax(axis=1)
    reach = np.stack((reached.argmax(axis=1), np.where(reached.any(axis=1), ends, 0)), axis=1)
    return _Spread(weights, np.ascontiguousarray(reach, np.int64))
