"""Frames of the test plate in any pose, with and without a scratch, and a bundle that inspects them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_settings import AlignSettings
from engines.bundle import Bundle
from engines.geometry import invert, motion
from pipeline.inspection import InspectionRequest
from schemas.verdict import Thresholds
from tests.engines.backends.small_model import difference_model, plate, small_bundle
from tests.pipeline.pictures import CONTENT_TYPES, encode

TEMPLATE_PX = (96, 80)
FRAME_PX = (192, 160)
LIMITS = Thresholds(review=0.08, fail=0.16)


def template() -> NDArray[np.uint8]:
    """(80, 96) uint8."""
    return plate(TEMPLATE_PX)


def plate_bundle(**changes: Any) -> Bundle:
    """Aligns rigidly and scores by difference from the template."""
    values: dict[str, Any] = {
        "template": template(),
        "input_size_px": TEMPLATE_PX,
        "frame_size_px": FRAME_PX,
        "thresholds": LIMITS,
        "align": AlignSettings(max_shift_px=40),
    }
    values |= changes
    return small_bundle(**({"model": difference_model(values["template"])} | values))


def plate_frame(
    dx_px: float = 0, dy_px: float = 0, angle_deg: float = 0, scratch: tuple[int, int, int, int] | None = None,
    frame_px: tuple[int, int] = FRAME_PX,
) -> NDArray[np.uint8]:  # fmt: skip
    """(160, 192) uint8: the plate moved and turned on a dark ground; `scratch` x, y, w, h on the template, bright.

    `frame_px` (width, height): another size of the frame, which shows the plate as large.
    """
    picture = template()
    if scratch is not None:
        x, y, w, h = scratch
        picture[y : y + h, x : x + w] = 255
    pose = invert(motion(frame_px, TEMPLATE_PX, dx_px, dy_px, angle_deg))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frame = cv2.warpAffine(picture, pose, frame_px, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(40,))
    return np.asarray(frame, np.uint8)


def request(pixels: Any, extension: str = ".png") -> InspectionRequest:
    """`pixels` encoded as a camera would."""
    return InspectionRequest(encode(extension, pixels), CONTENT_TYPES[extension])
