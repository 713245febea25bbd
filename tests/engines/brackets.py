"""Pictures of a made-up part at known poses, for the tests of the alignment."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Size, Transform, apply, compose, invert, motion, resize_transform

SIZE: Size = (128, 128)
PART_PX = 512

Grey = NDArray[np.uint8]
Drawing = NDArray[np.float32]


def bracket() -> Drawing:
    """(512, 512) a dark L-shaped part with holes and marks on a light ground, without any symmetry."""
    canvas = np.full((PART_PX, PART_PX), 190, np.uint8)
    cv2.rectangle(canvas, (150, 120), (230, 400), 70, -1)
    cv2.rectangle(canvas, (150, 320), (370, 400), 90, -1)
    cv2.circle(canvas, (190, 170), 22, 200, -1)
    cv2.circle(canvas, (330, 360), 15, 30, -1)
    cv2.putText(canvas, "7A", (160, 300), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 150, 5)
    return _optics(canvas)


def flange(marked: bool) -> Drawing:
    """(512, 512) a ring with six holes, the same after every 60 degrees; `marked`: but for one small mark."""
    canvas = np.full((PART_PX, PART_PX), 60, np.uint8)
    cv2.circle(canvas, (256, 256), 170, 180, -1)
    cv2.circle(canvas, (256, 256), 60, 60, -1)
    for k in range(6):
        x, y = 256 + 115 * math.cos(k * math.pi / 3), 256 + 115 * math.sin(k * math.pi / 3)
        cv2.circle(canvas, (round(16 * x), round(16 * y)), 16 * 25, 60, -1, shift=4)
    if marked:
        cv2.rectangle(canvas, (345, 330), (365, 350), 100, -1)
    return _optics(canvas)


def roof(angle_deg: float) -> Drawing:
    """(512, 512) a ridged bar with a head, turned by `angle_deg` before it is drawn: light always falls from the left.

    The flank towards the light is bright and the other dark, so they change places after half a turn.
    """
    canvas = np.full((PART_PX, PART_PX), 235, np.uint8)
    light = math.cos(math.radians(angle_deg))
    for across, shade in ((-26, 130 + 50 * light), (26, 130 - 50 * light)):
        left, right = sorted((256 + across, 256))
        cv2.rectangle(canvas, (left, 120), (right, 390), round(shade), -1)
    cv2.rectangle(canvas, (196, 110), (316, 150), 60, -1)
    cv2.circle(canvas, (225, 130), 9, 200, -1)
    return _optics(canvas)


def clip() -> Drawing:
    """(512, 512) another product of the bracket's size and greys."""
    canvas = np.full((PART_PX, PART_PX), 190, np.uint8)
    cv2.ellipse(canvas, (256, 256), (150, 70), 20, 0, 360, 80, -1)
    cv2.ellipse(canvas, (256, 256), (95, 30), 20, 0, 360, 190, -1)
    return _optics(canvas)


def _optics(canvas: Grey) -> Drawing:
    return np.asarray(cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 1.5), np.float32)


def nominal(size: Size = SIZE) -> Transform:
    """The transform of a frame in which the part lies where the drawing has it."""
    return motion(size, size, 0, 0, 0)


def picture(drawing: Drawing, truth: Transform, noise_grey: float = 0.0, seed: int = 0, size: Size = SIZE) -> Grey:
    """`drawing` as a frame of `size` under `truth` (template px -> frame px), by fourfold supersampling."""
    fine = (size[0] * 4, size[1] * 4)
    to_part = compose(resize_transform(size, (PART_PX, PART_PX)), compose(invert(truth), resize_transform(fine, size)))
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(drawing, to_part, fine, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    light = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.float32)
    light += np.random.default_rng(seed).normal(size=light.shape) * noise_grey
    return np.asarray(np.clip(np.rint(light), 0, 255), np.uint8)


def error_px(found: Transform, truth: Transform, mask: NDArray[np.bool_]) -> float:
    """Root mean square distance between two poses over the pixels of `mask`."""
    ys, xs = np.nonzero(mask)
    at = np.stack([xs, ys], axis=1).astype(np.float64)
    return float(np.sqrt(((apply(found, at) - apply(truth, at)) ** 2).sum(axis=1).mean()))
