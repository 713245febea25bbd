"""The picture of a mark: the template with the mark on it in colour and a box around it, as PNG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.gradient_map import MARK_NOISE
from pipeline.mark_shape import Shape
from pipeline.rolling_median import Picture
from pipeline.run import Run
from schemas.aligned import AlignedHeader
from schemas.verdict import Box

_MIN_SIDE_PX = 512
_MARK_RGB = (255, 64, 32)
_BOX_RGB = (255, 210, 0)


def grey8(picture: Picture) -> NDArray[np.uint8]:
    """`picture` (H, W) as uint8, stretched from its darkest to its brightest pixel."""
    low, high = int(picture.min()), int(picture.max())
    return ((picture.astype(np.float32) - low) * (255.0 / max(high - low, 1))).round().astype(np.uint8)


def draw_mark(
    template: Picture, strength: NDArray[np.float32], threshold: float, boxes: list[Box], caption: str
) -> bytes:
    """PNG of `template` (H, W) with the pixels where `strength` reaches `threshold` in red, boxes in yellow.

    Args: strength: (H, W), any unit; full red at twice the threshold. caption: one line of ASCII under the picture.
    """
    scale = max(1, -(-_MIN_SIDE_PX // max(template.shape)))
    grey = grey8(template)
    canvas = cv2.cvtColor((grey * 0.75 + 40).astype(np.uint8), cv2.COLOR_GRAY2RGB).astype(np.float32)
    share = np.clip(strength / np.float32(2 * threshold), 0, 1) * (strength >= threshold)
    weight = np.where(share > 0, 0.35 + 0.65 * share, 0)[..., None].astype(np.float32)
    canvas = canvas * (1 - weight) + np.array(_MARK_RGB, np.float32) * weight
    size = (template.shape[1] * scale, template.shape[0] * scale)
    large = cv2.resize(canvas.round().astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    for x, y, w, h in boxes:
        corner = (max(0, (x - 3) * scale), max(0, (y - 3) * scale))
        cv2.rectangle(large, corner, ((x + w + 3) * scale, (y + h + 3) * scale), _BOX_RGB, 2)
    strip = np.full((28, large.shape[1], 3), 24, np.uint8)
    cv2.putText(strip, caption, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    done, png = cv2.imencode(".png", cv2.cvtColor(np.vstack((large, strip)), cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"OpenCV could not encode a PNG of {large.shape}")
    return png.tobytes()


def draw_run(template: Picture, run: Run, shape: Shape, header: AlignedHeader) -> bytes:
    """PNG of a confirmed mark: the template, the mark in red, its box, and one line that says what it is."""
    often = f"{run.n_hits} of {run.n_frames} parts"
    if run.period is not None:
        often += f", every {run.period}th"
    caption = f"{header.product} at {header.station}: {often} since part {run.first_sequence}"
    return draw_mark(template, shape.strength, MARK_NOISE, [shape.box_px], caption)
