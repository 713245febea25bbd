"""Where the frame ends on the template: what lies beyond is filled from the template and marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.geometry import Size, Transform
from engines.kernel import kernel


def fill_outside(
    pixels: NDArray[np.uint8], template: NDArray[np.uint8], transform: Transform, frame_size: Size
) -> NDArray[np.bool_] | None:
    """Give the pixels of a warped frame that lie outside the frame the template's values, in place.

    Args: pixels, template (H, W) or (H, W, C) uint8, C-contiguous; transform template px -> frame px; frame_size
        (width, height). Returns: (H, W) bool as `engines.geometry.valid_mask`, None when the frame reaches everywhere.
    """
    height, width = pixels.shape[:2]
    valid = np.empty((height, width), np.bool_)
    n_outside = _fill(
        pixels.reshape(height, width, -1), template.reshape(height, width, -1), transform, *frame_size, valid
    )
    return valid if n_outside else None


@kernel
def _fill(
    pixels: NDArray[np.uint8],
    template: NDArray[np.uint8],
    transform: NDArray[np.float64],
    frame_width: int,
    frame_height: int,
    valid: NDArray[np.bool_],
) -> int:
    n_outside = 0
    for y in range(valid.shape[0]):
        for x in range(valid.shape[1]):
            fx = transform[0, 0] * x + transform[0, 1] * y + transform[0, 2]
            fy = transform[1, 0] * x + transform[1, 1] * y + transform[1, 2]
            inside = (fx >= -0.5) & (fx <= frame_width - 0.5) & (fy >= -0.5) & (fy <= frame_height - 0.5)
            valid[y, x] = inside
            if not inside:
                n_outside += 1
                for c in range(pixels.shape[2]):
                    pixels[y, x, c] = template[y, x, c]
    return n_outside
