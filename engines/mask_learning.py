"""Mask learning: what a station may lose, lost on purpose while the network learns.

Fields are dropped at random, 0 to 60 % of them a part; the picture loses a grid of squares.
Source: 000_51cdc475db3dfdae.txt section 3.2 and 4.3; Chen et al., GridMask Data Augmentation (2020).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_DROPPED = 0.6
"""Greatest share of a part's fields that is dropped."""
_PERIODS = (1 / 7, 1 / 3)
"""Spacing of the grid's squares, in shares of the picture's side."""
GRID_COVER = 0.35
"""Side of a square in shares of the spacing: an eighth of the picture is lost.

Under it a picture branch that never learnt masks loses about as much F1 as the paper's VGG16 (0.78 to 0.63).
"""


def drop_fields(
    missing: NDArray[np.bool_], rng: np.random.Generator, most: float = MOST_DROPPED, least: float = 0.0
) -> NDArray[np.bool_]:
    """`missing` (n, fields) with more of each part's fields missing: a share drawn anew for every part.

    Args: least, most: the share is uniform between them; with both alike, exactly that share rounded is dropped.
    Raises: ValueError when they are no shares in order.
    """
    if not 0 <= least <= most <= 1:
        raise ValueError(f"fields to drop are shares with 0 <= least <= most <= 1, not {least} and {most}")
    n, n_fields = missing.shape
    n_dropped = np.rint(rng.uniform(least, most, n) * n_fields)
    rank = rng.random((n, n_fields)).argsort(1).argsort(1)
    return np.asarray(missing | (rank < n_dropped[:, None]), np.bool_)


def grid_mask(side_px: int, rng: np.random.Generator, cover: float = GRID_COVER) -> NDArray[np.bool_]:
    """(side_px, side_px) bool, True where the picture is lost: squares on a grid of random spacing and place."""
    period = max(int(rng.uniform(*_PERIODS) * side_px), 4)
    width = max(round(cover * period), 1)
    rows, columns = ((np.arange(side_px) + rng.integers(period)) % period < width for _ in range(2))
    return np.logical_and.outer(rows, columns)


def mask_pictures(pictures: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """`pictures` (n, side, side, 3) uint8, each under a grid of its own; what is lost is black."""
    masked = pictures.copy()
    for picture in masked:
        picture[grid_mask(len(picture), rng)] = 0
    return masked
