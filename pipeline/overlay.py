"""Pictures for people: the heat map over the aligned frame, and a verdict drawn on the frame as sent."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.geometry import Transform, invert
from schemas.verdict import Defect, Outcome, Thresholds

_COLOURS_BGR = {
    Outcome.PASS: (80, 200, 80),
    Outcome.REVIEW: (0, 190, 255),
    Outcome.FAIL: (60, 60, 255),
    Outcome.UNINSPECTED: (200, 200, 200),
}


def heat_map_png(
    grey: NDArray[np.uint8], score_map: NDArray[np.float32], thresholds: Thresholds
) -> bytes:  # fmt: skip
    """A PNG of `grey` (H, W) with `score_map` (H, W) over it; full colour is reached at the fail threshold."""
    heat = _heat(grey, score_map, thresholds)
    return cv2.imencode(".png", heat, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def draw_verdict(
    frame_grey: NDArray[np.uint8],
    *,
    outcome: Outcome,
    caption: str,
    defects: Sequence[Defect],
    score_map: NDArray[np.float32] | None,
    template_grey: NDArray[np.uint8],
    transform: Transform | None,
    thresholds: Thresholds,
) -> NDArray[np.uint8]:
    """The frame as sent with heat map, the template's edges (thin, cyan) and each defect's box.

    Args: frame_grey (h, w); score_map (H, W) and template_grey (H, W) on the template; transform template px ->
        frame px, None when the frame was not aligned. Returns: (h, w, 3) uint8 BGR.
    """
    height, width = frame_grey.shape
    picture = np.asarray(cv2.cvtColor(frame_grey, cv2.COLOR_GRAY2BGR), np.uint8)
    if transform is not None:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        back = invert(transform)
        if score_map is not None:
            finite = np.where(np.isfinite(score_map), score_map, np.float32(min(0.0, thresholds.review)))
            spread = cv2.warpAffine(finite.astype(np.float32), back, (width, height), flags=flags)
            picture = _heat(frame_grey, np.asarray(spread, np.float32), thresholds)
        edges = cv2.Canny(template_grey, 60, 160)
        seen = cv2.warpAffine(edges, back, (width, height), flags=flags)
        picture[seen > 96] = (picture[seen > 96] * 0.4 + np.array((200, 200, 0)) * 0.6).astype(np.uint8)
    colour = _COLOURS_BGR[outcome]
    line = max(1, round(min(width, height) / 300))
    for defect in defects:
        x, y, w, h = defect.bbox_px
        cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), colour, line)
    scale = max(0.4, min(width, height) / 900)
    cv2.putText(picture, caption, (6, round(24 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), line + 2)
    cv2.putText(picture, caption, (6, round(24 * scale) + 4), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, line)
    return picture


def _heat(grey: NDArray[np.uint8], score_map: NDArray[np.float32], thresholds: Thresholds) -> NDArray[np.uint8]:
    """`grey` where scores are low, shading to colour from half the review threshold up to the fail threshold."""
    low, high = 0.5 * thresholds.review, max(thresholds.fail, 0.5 * thresholds.review + 1e-9)
    share = np.clip((np.nan_to_num(score_map, neginf=low) - low) / (high - low), 0, 1).astype(np.float32)
    colours = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_JET).astype(np.float32)
    alpha = (0.6 * share)[:, :, None]
    return np.asarray(grey[:, :, None] * (1 - alpha) + colours * alpha, np.uint8)
