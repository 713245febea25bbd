"""Where the frame ends on the template: what lies beyond is filled from the template and marked.

The template is brought to the frame's own level along the edge, which varies slowly: a step of brightness there
would look like a defect (measured in docs/accuracy.md).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Size, Transform
from engines.kernel import kernel

_CELL_PX = 8
_FAR_WEIGHT = 1e-3


def fill_outside(
    pixels: NDArray[np.uint8], template: NDArray[np.uint8], transform: Transform, frame_size: Size
) -> NDArray[np.bool_] | None:
    """Fill the pixels of a warped frame that lie outside it with the template, at the frame's level, in place.

    Args: pixels, template (H, W) or (H, W, C) uint8, C-contiguous; transform template px -> frame px; frame_size
        (width, height). Returns: (H, W) bool as `engines.geometry.valid_mask`, None when the frame reaches everywhere.
    """
    height, width = pixels.shape[:2]
    valid = np.empty((height, width), np.bool_)
    flat, golden = pixels.reshape(height, width, -1), template.reshape(height, width, -1)
    n_outside = _fill(flat, golden, transform, *frame_size, valid)
    if n_outside == 0:
        return None
    if n_outside < valid.size:
        _match_level(flat, golden, valid)
    return valid


def _match_level(pixels: NDArray[np.uint8], template: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
    """Shift `pixels` (H, W, C) where not `valid` by the frame's mean difference to the template nearby, in place.

    Nearby: under a Gaussian of 16 px; farther away the whole frame counts.
    """
    height, width = valid.shape
    small = (max(1, width // _CELL_PX), max(1, height // _CELL_PX))
    inside = valid.astype(np.float32)
    mass = cv2.GaussianBlur(cv2.resize(inside, small, interpolation=cv2.INTER_AREA), (0, 0), 2.0)
    outside = ~valid
    for c in range(pixels.shape[2]):
        difference = (pixels[:, :, c].astype(np.float32) - template[:, :, c]) * inside
        overall = float(difference.sum() / inside.sum())
        near = cv2.GaussianBlur(cv2.resize(difference, small, interpolation=cv2.INTER_AREA), (0, 0), 2.0)
        shift = (near + _FAR_WEIGHT * overall) / (mass + _FAR_WEIGHT)
        shift = cv2.resize(np.asarray(shift, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        pixels[:, :, c][outside] = np.clip(pixels[:, :, c][outside] + shift[outside], 0, 255).round()


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
