"""The defect generation module: several visible defects on a good picture, and where they changed it.

Each is a blob, a spot or a scratch that is darkened, lightened, blurred, filled from elsewhere in the picture, or
replaced by a foreign texture, in part or whole; on grey pictures it is grey. What did not come out visibly (a dark
place darkened, a plain one moved) is no defect and is tried again.
Source: 004 §2.3, with procedural textures in place of VOC pictures; blurring and moving are ours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.synthetic_defects import fill, region
from engines.textures import Picture, texture

Bool = NDArray[np.bool_]
_LEAST_CHANGE_GREY = 8
_LEAST_VISIBLE_PX = 12
_WHOLLY_FOREIGN = 0.2
_NOTHING = 1e-3
_PLACES, _FILLS = 24, 4
"""Attempts at finding a place that is scored, and a filling that shows."""


def generate_defects(
    rng: np.random.Generator, picture: Picture, scored: Bool | None, n_defects: int
) -> tuple[Picture, Bool]:
    """`picture` (H, W, 3) uint8 with up to `n_defects` defects.

    Args: scored: (H, W) bool, where most of each defect lies; None: anywhere.
    Returns: the picture, and (H, W) bool what the defects visibly changed.
    """
    grey = bool((picture == picture[:, :, :1]).all())
    spoilt, changed = picture, np.zeros(picture.shape[:2], np.bool_)
    for _ in range(n_defects):
        mask = _place(rng, (picture.shape[0], picture.shape[1]), scored)
        if mask is None:
            continue
        for _ in range(_FILLS):
            candidate = _filled(rng, spoilt, mask, grey)
            visible = mask & (np.abs(candidate.astype(np.int16) - spoilt).max(2) > _LEAST_CHANGE_GREY)
            if 2 * visible.sum() >= mask.sum():
                spoilt, changed = candidate, changed | visible
                break
    return spoilt, changed


def changed_cells(changed: Bool, stride_px: int) -> tuple[Bool, Bool]:
    """Which cells of a grid of tiles of `stride_px` a change (H, W) touches.

    Returns: (h, w) bool the cells that show it (a quarter of their tile, or the most of any), and those that show
        nothing of it; cells in neither are touched too lightly to be called either.
    Source: M_s of eq. 5, without its doubtful cells.
    """
    height, width = changed.shape
    whole = np.pad(changed, ((0, -height % stride_px), (0, -width % stride_px)), mode="edge")
    tiles = whole.reshape(whole.shape[0] // stride_px, stride_px, whole.shape[1] // stride_px, stride_px)
    share = tiles.mean((1, 3), dtype=np.float32)
    most = float(share.max(initial=0.0))
    shows = share >= min(0.25, most) if most > 0 else np.zeros(share.shape, np.bool_)
    return np.asarray(shows, np.bool_), np.asarray(share < _NOTHING, np.bool_)


def _place(rng: np.random.Generator, shape: tuple[int, int], scored: Bool | None) -> Bool | None:
    """(H, W) bool, a region that lies mostly where it is scored; None when none was found."""
    for _ in range(_PLACES):
        mask = region(rng, shape)
        n_px = int(mask.sum())
        n_scored = n_px if scored is None else int((mask & scored).sum())
        if n_px >= _LEAST_VISIBLE_PX and n_scored > 0.6 * n_px:
            return mask
    return None


def _filled(rng: np.random.Generator, picture: Picture, mask: Bool, grey: bool) -> Picture:
    """`picture` with the region `mask` filled anew, its edge softened."""
    if rng.random() < _WHOLLY_FOREIGN:
        size_px = (picture.shape[1], picture.shape[0])
        foreign = cv2.resize(texture(rng, 128), size_px, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    else:
        foreign = fill(rng, picture)
    if grey:
        foreign = np.repeat(foreign.mean(2, keepdims=True), 3, axis=2)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.2)))[:, :, None]
    return np.asarray(np.clip(picture * (1 - soft) + foreign * soft, 0, 255), np.uint8)
