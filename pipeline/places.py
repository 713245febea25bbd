"""Sets of grid cells: their neighbourhoods and clusters."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int64]


def near(cells: Iterable[int], reach: int, grid_shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(n_cells,) True for `cells` and for those within `reach` rows and columns of one."""
    grid = np.zeros(grid_shape, np.uint8)
    grid.reshape(-1)[list(cells)] = 1
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(grid, np.ones((side, side), np.uint8)), bool).reshape(-1)


def clusters(cells: Cells, reach: int, grid_shape: tuple[int, int]) -> list[Cells]:
    """`cells` in groups: two cells are together when a chain of steps of at most `reach` cells joins them.

    Each group is sorted, and the groups are in the order of their first cell.
    """
    left = set(cells.tolist())
    columns = grid_shape[1]
    found: list[Cells] = []
    while left:
        first = min(left)
        left.discard(first)
        group, edge = [first], [first]
        while edge:
            cell = edge.pop()
            r, c = divmod(cell, columns)
            close = [other for other in left if max(abs(other // columns - r), abs(other % columns - c)) <= reach]
            left.difference_update(close)
            group += close
            edge += close
        found.append(np.array(sorted(group), np.int64))
    return found
