"""Kernels of the score map: the separable spread of a grid, on one core and without a linear algebra library.

A matrix product would do, but libraries of them start threads of their own, which costs milliseconds on a
machine that is busy with a broker and a database.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

F32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
Places = NDArray[np.int64]


@kernel
def spread(grid: F32, rows: F32, row_reach: Places, columns: F32, column_reach: Places) -> F32:
    """``rows.T @ grid @ columns``, touching only weights that are not zero.

    Args: grid (h, w); rows (h, H) and columns (w, W) weights; row_reach (h, 2) and column_reach (w, 2): first
        and one past the last pixel a cell reaches. Returns: (H, W).
    """
    n_cells = grid.shape[1]
    tall = np.zeros((rows.shape[1], n_cells), np.float32)
    for i in range(grid.shape[0]):
        for y in range(row_reach[i, 0], row_reach[i, 1]):
            weight = rows[i, y]
            for j in range(n_cells):
                tall[y, j] += weight * grid[i, j]
    out = np.zeros((rows.shape[1], columns.shape[1]), np.float32)
    for y in range(out.shape[0]):
        for j in range(n_cells):
            value = tall[y, j]
            weights = columns[j, column_reach[j, 0] : column_reach[j, 1]]
            reached = out[y, column_reach[j, 0] : column_reach[j, 1]]
            for x in range(weights.size):  # from 0, so that it becomes vector code
                reached[x] += value * weights[x]
    return out


@kernel
def spread_scored(
    grid: F32, cells: F32, rows: F32, row_reach: Places, columns: F32, column_reach: Places,
    scored: Bool, least_weight: float, unscored: float,
) -> F32:  # fmt: skip
    """`spread` of ``grid * cells`` over `spread` of `cells`: the mean of the cells that count.

    Args: cells (h, w), 1 where a cell counts, else 0; scored (H, W). Returns: (H, W), `unscored` where `scored` is
        False or the cells that count weigh no more than `least_weight`.
    """
    n_cells = grid.shape[1]
    total_tall = np.zeros((rows.shape[1], n_cells), np.float32)
    weight_tall = np.zeros((rows.shape[1], n_cells), np.float32)
    for i in range(grid.shape[0]):
        for y in range(row_reach[i, 0], row_reach[i, 1]):
            weight = rows[i, y]
            for j in range(n_cells):
                total_tall[y, j] += weight * cells[i, j] * grid[i, j]
                weight_tall[y, j] += weight * cells[i, j]
    least, nothing = np.float32(least_weight), np.float32(unscored)
    out = np.empty(scored.shape, np.float32)
    total, weights = np.empty(scored.shape[1], np.float32), np.empty(scored.shape[1], np.float32)
    for y in range(scored.shape[0]):
        total[:] = 0
        weights[:] = 0
        for j in range(n_cells):
            value, weight = total_tall[y, j], weight_tall[y, j]
            if weight > 0:
                column = columns[j, column_reach[j, 0] : column_reach[j, 1]]
                total_reached = total[column_reach[j, 0] : column_reach[j, 1]]
                weight_reached = weights[column_reach[j, 0] : column_reach[j, 1]]
                for x in range(column.size):
                    total_reached[x] += value * column[x]
                    weight_reached[x] += weight * column[x]
        row, mask = out[y], scored[y]
        for x in range(row.size):
            mean = total[x] / weights[x]
            row[x] = mean if mask[x] & (weights[x] > least) else nothing
    return out


@kernel
def count_tiles(scored: Bool, stride: float, origin: float, shape: tuple[int, int]) -> F32:
    """(h, w) of `shape`: 1 where at least half of the tile around a cell's centre is in `scored`, else 0.

    A tile is `stride` px wide and high; at the edge of the template, as large as what lies within it.
    """
    cells = np.zeros(shape, np.float32)
    height, width = scored.shape
    for i in range(shape[0]):
        top = max(int(np.rint(origin + stride * (i - 0.5) + 0.5)), 0)
        bottom = min(int(np.rint(origin + stride * (i + 0.5) + 0.5)), height)
        for j in range(shape[1]):
            left = max(int(np.rint(origin + stride * (j - 0.5) + 0.5)), 0)
            right = min(int(np.rint(origin + stride * (j + 0.5) + 0.5)), width)
            n = 0
            for y in range(top, bottom):
                tile_row = scored[y, left:right]
                for x in range(tile_row.size):
                    n += tile_row[x]
            if n > 0 and 2 * n >= (bottom - top) * (right - left):
                cells[i, j] = 1
    return cells
