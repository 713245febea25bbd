"""Where pictures show the part itself: the largest place outside the print that differs between parts."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.verdict import Box

_LEAST_SHARE = 0.02
"""Of the picture: a smaller place is no part."""
_RESTLESS = 3.0
"""Grey levels of deviation between parts above which a pixel may show the part."""


def find_part(greys: Sequence[NDArray[np.uint8]], printed: Sequence[Box]) -> Box | None:
    """The box (x, y, w, h) of the part in pictures (H, W) of one size; None when nothing but print is seen.

    Args: printed: boxes of names and values, which are no part.
    """
    stack = np.stack(greys).astype(np.float32)
    restless = stack.std(axis=0) > _RESTLESS
    for x, y, w, h in printed:
        restless[y : y + h, x : x + w] = False
    height, width = restless.shape
    reach = max(min(height, width) // 40, 3)
    kernel = np.ones((reach, reach), np.uint8)
    joined = cv2.morphologyEx(restless.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, kernel)
    n, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    boxes = sorted((tuple(int(value) for value in stats[i]) for i in range(1, n)), key=lambda each: -each[4])
    if not boxes or boxes[0][2] * boxes[0][3] < _LEAST_SHARE * height * width:
        return None
    x, y, w, h, _ = boxes[0]
    return x, y, w, h
