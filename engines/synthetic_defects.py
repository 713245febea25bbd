"""Synthetic defects on good pictures: regions darkened, lightened, blurred, moved or replaced by foreign texture.

Source: the defect generation module of 004 §2.3, with procedural textures in place of VOC pictures.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.textures import Picture, fractal_noise, texture


def spoil(rng: np.random.Generator, picture: Picture) -> tuple[Picture, NDArray[np.bool_]]:
    """`picture` (H, W, 3) with one region spoilt. Returns: the picture and the (H, W) mask of the region."""
    mask = region(rng, (picture.shape[0], picture.shape[1]))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.2)))[..., None]
    spoilt = np.clip(picture * (1 - soft) + fill(rng, picture) * soft, 0, 255)
    return np.asarray(spoilt, np.uint8), mask


def spoil_within(
    rng: np.random.Generator, picture: Picture, scored: NDArray[np.bool_] | None
) -> tuple[Picture, NDArray[np.bool_]]:
    """`picture` (H, W, 3) with one defect that lies mostly where `scored` (H, W) is true; None: anywhere in it.

    Of sixty-four attempts the first that does, or else the last, is taken. Returns: as `spoil`.
    """
    spoilt, mask = picture, np.zeros(picture.shape[:2], np.bool_)
    for _ in range(64):
        spoilt, mask = spoil(rng, picture)
        n_touched = int(mask.sum()) if scored is None else int((mask & scored).sum())
        if n_touched > 0.6 * max(int(mask.sum()), 1):
            break
    return spoilt, mask


def region(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: a blob, a scratch or a spot somewhere in the picture, about 1/80 to 1/8 of its side."""
    height, width = shape
    side = min(shape)
    reach = float(np.exp(rng.uniform(np.log(side / 80), np.log(side / 8)))) + 1
    centre = np.array([rng.uniform(0, width), rng.uniform(0, height)])
    mask = np.zeros(shape, np.uint8)
    if rng.random() < 0.35:
        turn = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.3, 6))
        path = centre + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * reach / 2, 0)
        cv2.polylines(mask, [path.astype(np.int32)], False, (1,), max(1, int(rng.integers(1, 2 + side // 128))))
        return mask.astype(np.bool_)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    angle, squeeze = rng.uniform(0, np.pi), rng.uniform(0.4, 1)
    along = (xs - centre[0]) * np.cos(angle) + (ys - centre[1]) * np.sin(angle)
    across = (ys - centre[1]) * np.cos(angle) - (xs - centre[0]) * np.sin(angle)
    radius = np.sqrt(along**2 + (across / squeeze) ** 2) / reach
    ragged = cv2.resize(fractal_noise(rng, 64, 0.6), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(radius < 0.6 + 0.8 * ragged, np.bool_)


def fill(rng: np.random.Generator, picture: Picture) -> NDArray[np.float32]:
    """(H, W, 3) what to put into a region of `picture`."""
    value = picture.astype(np.float32)
    height, width = picture.shape[:2]
    kind = rng.integers(0, 6)
    if kind == 0:
        return value * np.float32(rng.uniform(0.3, 0.9))
    if kind == 1:
        return value + np.float32(rng.uniform(10, 90))
    if kind == 2:
        return np.asarray(cv2.GaussianBlur(value, (0, 0), float(rng.uniform(1.5, 6))), np.float32)
    if kind == 3:
        rows, columns = int(rng.integers(-height // 4, height // 4 + 1)), int(rng.integers(-width // 4, width // 4 + 1))
        return np.roll(value, (rows, columns), (0, 1))
    foreign = cv2.resize(texture(rng, 128), (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if kind == 4:
        share = np.float32(rng.uniform(0.15, 0.7))
        return np.asarray(value * (1 - share) + foreign * share, np.float32)
    contrast = np.float32(rng.uniform(0.1, 0.6))
    return np.asarray(value + (foreign - foreign.mean()) * contrast, np.float32)
