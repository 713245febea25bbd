"""Plane geometry of pictures: transforms, the pixel convention, and the one warp onto the template.

The convention, for the whole project: pixel centres lie at integer coordinates, the centre of the top
left pixel is (0.0, 0.0), x runs right and y runs down. A picture of width W therefore covers
[-0.5, W - 0.5] and its middle is (W - 1) / 2. A point is (x, y), a size is (width, height), an array
shape is (height, width).

A `Transform` is a 2x3 float64 matrix ``[[a, b, tx], [c, d, ty]]`` that takes template pixel coordinates
to frame pixel coordinates: ``frame = A @ template + t``. It contains the change of scale between the
frame as sent and the template at working size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.verdict import Box

Transform = NDArray[np.float64]
"""(2, 3) float64, template px -> frame px unless a name says otherwise."""

_HALVED_FROM = 3.5
"""Frame pixels a template pixel, from which a frame is halved before it is resampled."""
Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Motion of the part in the frame against its nominal place.

    `dx_px`, `dy_px`: where the template's middle lies from the frame's middle, in frame pixels, right and
    down positive. `angle_deg`: counter-clockwise as seen on the screen, in (-180, 180]. `scale`: 1.0 when
    the part has its nominal size.
    """

    dx_px: float
    dy_px: float
    angle_deg: float
    scale: float


def identity() -> Transform:
    """The transform that moves nothing."""
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def compose(outer: Transform, inner: Transform) -> Transform:
    """The transform that applies `inner` first, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.column_stack((linear, outer[:, :2] @ inner[:, 2] + outer[:, 2]))


def invert(transform: Transform) -> Transform:
    """The transform that undoes `transform`.

    Raises: ValueError when it flattens the plane (determinant 0 or not finite).
    """
    (a, b, tx), (c, d, ty) = transform.tolist()
    determinant = a * d - b * c
    if not math.isfinite(determinant) or abs(determinant) < 1e-12:
        raise ValueError(f"transform with determinant {determinant} cannot be inverted")
    linear = np.array([[d, -b], [-c, a]]) / determinant
    return np.column_stack((linear, -linear @ np.array([tx, ty])))


def apply(transform: Transform, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """`points` (..., 2) as (x, y), each moved by `transform`; same shape."""
    moved: NDArray[np.float64] = np.asarray(points, np.float64) @ transform[:, :2].T + transform[:, 2]
    return moved


def middle(size: Size) -> NDArray[np.float64]:
    """(2,) the middle (x, y) of a picture of `size`."""
    return np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])


def resize_transform(source: Size, target: Size) -> Transform:
    """Takes pixel coordinates of a picture of size `source` to those of its resize to `target`.

    The outer edges of the pictures coincide, as in ``cv2.resize``: ``x' = (x + 0.5) * s - 0.5``.
    """
    sx, sy = target[0] / source[0], target[1] / source[1]
    return np.array([[sx, 0.0, (sx - 1) / 2], [0.0, sy, (sy - 1) / 2]])


def crop_transform(x_px: float, y_px: float) -> Transform:
    """Takes pixel coordinates of a picture to those of a crop whose top left pixel was at (x_px, y_px)."""
    return np.array([[1.0, 0.0, -x_px], [0.0, 1.0, -y_px]])


def rotation(angle_deg: float, about: NDArray[np.float64], scale: float = 1.0) -> Transform:
    """Turn by `angle_deg` counter-clockwise as seen, and scale, around the point `about` (2,)."""
    cos, sin = scale * math.cos(math.radians(angle_deg)), scale * math.sin(math.radians(angle_deg))
    linear = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack((linear, about - linear @ about))


def motion(
    frame_size: Size, template_size: Size, dx_px: float, dy_px: float, angle_deg: float, scale: float = 1.0
) -> Transform:
    """The transform of a frame in which the part has this `Pose`; the inverse of `pose`."""
    turned = compose(rotation(angle_deg, middle(frame_size), scale), resize_transform(template_size, frame_size))
    turned[:, 2] += (dx_px, dy_px)
    return turned


def pose(transform: Transform, template_size: Size, frame_size: Size) -> Pose:
    """The motion that `transform` (template px -> frame px) states; see `Pose` for units and signs."""
    shift = apply(transform, middle(template_size)) - middle(frame_size)
    nominal = np.array([frame_size[0] / template_size[0], frame_size[1] / template_size[1]])
    linear = transform[:, :2] / nominal
    angle_rad = math.atan2(linear[0, 1] - linear[1, 0], linear[0, 0] + linear[1, 1])
    determinant = float(linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0])
    angle_deg = math.degrees(angle_rad)
    return Pose(
        float(shift[0]),
        float(shift[1]),
        180.0 if angle_deg <= -180.0 else angle_deg,
        math.sqrt(abs(determinant)),
    )


def working_size(frame_size: Size, longest_px: int) -> Size:
    """A template size with longest side at most `longest_px` and nearly the frame's aspect ratio.

    Args: frame_size: (width, height) of the frames as sent. longest_px: from 32 up; never enlarges.
    Returns: the (width, height), among the upper eighth of sizes, that distorts the least.
    """
    width, height = frame_size
    longest = min(longest_px, max(width, height))
    best, least = (longest, longest), math.inf
    for length in range(longest, max(longest - longest // 8, 1) - 1, -1):
        across = max(1, round(min(width, height) * length / max(width, height)))
        size = (length, across) if width >= height else (across, length)
        distortion = abs(math.log(size[0] * height / (size[1] * width)))
        if distortion < least - 1e-5:
            best, least = size, distortion
    return best


def warp_to_template(
    frame: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32], transform: Transform, template_size: Size
) -> NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]:
    """`frame` (h, w) or (h, w, C) resampled onto the template, in one interpolation.

    ``cv2.WARP_INVERSE_MAP`` states that the matrix takes destination (template) to source (frame)
    pixels, which is what `transform` does. Where a template pixel covers several frame pixels, each is
    averaged over a grid of as many samples, so nothing aliases; a frame of four times the template's scale or more
    is halved first, which says the same and costs a third. Pixels outside the frame repeat its border
    (see `valid_mask`). Returns: (H, W) or (H, W, C) of the same type.
    """
    (a, b, _), (c, d, _) = transform.tolist()
    step = math.sqrt(abs(a * d - b * c))
    while step >= _HALVED_FROM and frame.shape[0] % 2 == 0 and frame.shape[1] % 2 == 0:
        whole, half = (frame.shape[1], frame.shape[0]), (frame.shape[1] // 2, frame.shape[0] // 2)
        frame = cv2.resize(frame, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        transform, step = compose(resize_transform(whole, half), transform), step / 2
    samples = min(max(1, round(step)), 8)
    fine = (template_size[0] * samples, template_size[1] * samples)
    matrix = compose(transform, resize_transform(fine, template_size)) if samples > 1 else transform
    warped = cv2.warpAffine(
        frame, matrix, fine, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    if samples > 1:
        warped = cv2.resize(warped, template_size, interpolation=cv2.INTER_AREA)
    return warped  # type: ignore[return-value]


def valid_mask(transform: Transform, template_size: Size, frame_size: Size) -> NDArray[np.bool_]:
    """(H, W) bool: template pixels whose centre lies inside the frame."""
    x, y = np.arange(template_size[0], dtype=np.float64), np.arange(template_size[1], dtype=np.float64)[:, None]
    fx = transform[0, 0] * x + transform[0, 1] * y + transform[0, 2]
    fy = transform[1, 0] * x + transform[1, 1] * y + transform[1, 2]
    inside: NDArray[np.bool_] = (fx >= -0.5) & (fx <= frame_size[0] - 0.5) & (fy >= -0.5) & (fy <= frame_size[1] - 0.5)
    return inside


def box_to_frame(box: Box, transform: Transform, frame_size: Size) -> Box:
    """The upright box (x, y, w, h) in the frame around a template `box`, clipped to the frame.

    A box (x, y, w, h) covers the pixels x..x+w-1; its outer edges are x - 0.5 and x + w - 0.5.
    """
    x, y, w, h = box
    left, top, right, bottom = x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5
    corners = apply(transform, np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
    low = np.floor(np.clip(corners.min(axis=0) + 0.5, 0, np.array(frame_size) - 1) + 1e-6).astype(int)
    high = np.ceil(np.clip(corners.max(axis=0) + 0.5, 1, np.array(frame_size)) - 1e-6).astype(int)
    return int(low[0]), int(low[1]), int(max(high[0] - low[0], 1)), int(max(high[1] - low[1], 1))
