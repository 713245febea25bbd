"""The same hits seen from the sensor: where on the camera's picture a place of the template lies in a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.geometry import apply, valid_mask
from schemas.aligned import AlignedHeader
from schemas.verdict import Box


def _matrix(header: AlignedHeader) -> NDArray[np.float64]:
    return np.array(header.transform, np.float64).reshape(2, 3)


def sensor_cells(
    cells: NDArray[np.int64], header: AlignedHeader, grid_shape: tuple[int, int], template_shape: tuple[int, int]
) -> NDArray[np.int64]:
    """The cell of a grid of `grid_shape` laid over the whole frame in which each template cell's middle lies.

    Args: cells: flat indices; template_shape: (H, W). Returns: flat indices, -1 for a middle outside the frame.
    """
    rows, columns = grid_shape
    x = (cells % columns + 0.5) * template_shape[1] / columns - 0.5
    y = (cells // columns + 0.5) * template_shape[0] / rows - 0.5
    at = apply(_matrix(header), np.stack((x, y), axis=-1)) + 0.5
    column = np.floor(at[:, 0] * columns / header.frame_size_px[0]).astype(np.int64)
    row = np.floor(at[:, 1] * rows / header.frame_size_px[1]).astype(np.int64)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    return np.where(inside, row * columns + column, -1)


def cell_box(cells: NDArray[np.int64], grid_shape: tuple[int, int], shape: tuple[int, int]) -> Box:
    """The box, in pixels of a picture of `shape` (H, W) under the grid, around `cells` (at least one)."""
    rows, columns = grid_shape
    r, c = cells // columns, cells % columns
    x, y = int(c.min()) * shape[1] // columns, int(r.min()) * shape[0] // rows
    right, bottom = -(-(int(c.max()) + 1) * shape[1] // columns), -(-(int(r.max()) + 1) * shape[0] // rows)
    return x, y, right - x, bottom - y


def valid_pixels(header: AlignedHeader, template_shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """(H, W) template pixels that lie inside the frame, or None when all do."""
    height, width = template_shape
    matrix = _matrix(header)
    corners = np.array([[0.0, 0.0], [width - 1.0, 0.0], [0.0, height - 1.0], [width - 1.0, height - 1.0]])
    at = apply(matrix, corners)
    far = np.array(header.frame_size_px) - 0.5
    if bool((at >= -0.5).all() and (at <= far).all()):
        return None
    return valid_mask(matrix, (width, height), header.frame_size_px)
