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
    difference = np.empty((height, width), np.float32)
    for c in range(pixels.shape[2]):
        _subtract(pixels[:, :, c], template[:, :, c], valid, difference)
        overall = float(difference.sum() / inside.sum())
        near = cv2.GaussianBlur(cv2.resize(difference, small, interpolation=cv2.INTER_AREA), (0, 0), 2.0)
        shift = (near + _FAR_WEIGHT * overall) / (mass + _FAR_WEIGHT)
        large = cv2.resize(np.asarray(shift, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        _add_outside(pixels[:, :, c], np.asarray(large, np.float32), valid)


@kernel
def _subtract(
    pixels: NDArray[np.uint8], template: NDArray[np.uint8], valid: NDArray[np.bool_], difference: NDArray[np.float32]
) -> None:
    """`difference` (H, W) becomes `pixels` less `template` where `valid`, else 0."""
    for y in range(valid.shape[0]):
        seen, golden, inside, out = pixels[y], template[y], valid[y], difference[y]
        for x in range(out.size):
            out[x] = np.float32(np.int32(seen[x]) - np.int32(golden[x])) if inside[x] else np.float32(0)


@kernel
def _add_outside(pixels: NDArray[np.uint8], shift: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """`pixels` (H, W) plus `shift`, rounded, where not `valid`, in place."""
    low, high = np.float32(0), np.float32(255)
    for y in range(valid.shape[0]):
        for x in range(valid.shape[1]):
            if not valid[y, x]:
                pixels[y, x] = np.uint8(np.rint(min(max(pixels[y, x] + shift[y, x], low), high)))


@kernel
def _fill(
    pixels: NDArray[np.uint8],
    template: NDArray[np.uint8],
    transform: NDArray[np.float64],
    frame_width: int,
    frame_height: int,
    valid: NDArray[np.bool_],
) -> int:
    height, width = valid.shape
    n_outside = 0
    for y in range(height):  # the frame is convex: what of a row lies in it is one piece, looked for from both ends
        first, end = 0, width
        while first < end and not _is_inside(transform, first, y, frame_width, frame_height):
            first += 1
        while end > first and not _is_inside(transform, end - 1, y, frame_width, frame_height):
            end -= 1
        valid[y, :first] = False
        valid[y, first:end] = True
        valid[y, end:] = False
        pixels[y, :first] = template[y, :first]
        pixels[y, end:] = template[y, end:]
        n_outside += width - (end - first)
    return n_outside


@kernel
def _is_inside(transform: NDArray[np.float64], x: int, y: int, frame_width: int, frame_height: int) -> bool:
    """Whether template pixel (x, y) shows the frame."""
    fx = transform[0, 0] * x + transform[0, 1] * y + transform[0, 2]
    fy = transform[1, 0] * x + transform[1, 1] * y + transform[1, 2]
    inside: bool = (fx >= -0.5) & (fx <= frame_width - 0.5) & (fy >= -0.5) & (fy <= frame_height - 0.5)
    return inside
