"""Variations of a few golden parts: what one board looks like again, to the camera, when nothing is wrong with it.

With one golden board (or a handful) there is nothing to learn a tolerance from. What differs between two pictures
of the same good board is known, though: how it lies, focus, exposure, noise. A model learnt from such
variations tolerates these and nothing else; real good parts, where there are enough of them, are better.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.decode import Picture
from pipeline.good_parts import PictureSet

MAX_SHIFT_PX = 1.0
MAX_TURN_DEG = 0.15
MAX_BLUR_PX = 1.0
MAX_GAIN = 0.08
MAX_NOISE_GREY = 6.0


def with_variations(good: PictureSet, n_each: int, seed: int) -> PictureSet:
    """`good` and `n_each` variations of each of its pictures; the same seed gives the same pictures.

    Raises: ValueError when `n_each` is negative.
    """
    if n_each < 0:
        raise ValueError(f"{n_each} variations of each picture: give 0 or more")
    names, pictures = list(good.names), list(good.pictures)
    for index, (name, picture) in enumerate(zip(good.names, good.pictures, strict=True)):
        rng = np.random.default_rng([seed, index])
        for number in range(1, n_each + 1):
            names.append(f"{name} variation {number}")
            pictures.append(_vary(picture, rng))
    return replace(good, names=tuple(names), pictures=tuple(pictures))


def _vary(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.grey.shape
    scale = 1 / picture.reduction  # the camera's own pixels are what shifts, blurs and noise are stated in
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-MAX_TURN_DEG, MAX_TURN_DEG), 1.0)
    turn[0, 2] += scale * rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX)
    turn[1, 2] += scale * rng.uniform(-MAX_SHIFT_PX, MAX_SHIFT_PX)
    blur_px, gain = scale * float(rng.uniform(0.0, MAX_BLUR_PX)), float(1 + rng.uniform(-MAX_GAIN, MAX_GAIN))
    noise = rng.normal(0, scale * rng.uniform(0, MAX_NOISE_GREY), (height, width, 1)).astype(np.float32)

    def again(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        flags = cv2.INTER_LINEAR
        moved = cv2.warpAffine(pixels.astype(np.float32), turn, (width, height), None, flags, cv2.BORDER_REPLICATE)
        if blur_px > 0.2:
            moved = cv2.GaussianBlur(moved, (0, 0), blur_px)
        noisy = moved * gain + (noise if moved.ndim == 3 else noise[:, :, 0])
        return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)

    colour = None if picture.colour is None else again(picture.colour)
    return replace(picture, grey=again(picture.grey), colour=colour)
