"""Which pixels of a template belong to the part."""

from __future__ import annotations

import base64
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_settings import AlignSettings
from schemas.errors import SetupError

_Pixel = TypeVar("_Pixel", np.float32, np.uint8)

_MOSTLY_PART = 0.6
_COARSE_PX = 4.0
_SHARP = 1.8
"""How many times steeper an edge is than under a blur of 4 px: a step four times, a shadow no more than once."""
_LEAST_SLOPE = 1.5
"""Grey levels a pixel of a step that can be told from a surface's grain."""
_RIM_SHARE = 1 / 28
"""Of the picture's longest side: what may stick out of a part lies within it."""
_LEAST_SHARE = 0.3
"""Of a piece of the foreground that sharp outlines must keep to be believed."""
_DIRECTIONS = 3
"""Of four along rows and columns, in which an outline with a gap still encloses a pixel."""


def border_median(grey: NDArray[np.float32]) -> float:
    """Median of a picture's outermost pixels, in grey levels."""
    return float(np.median(_border(grey)))


def border_level(grey: NDArray[np.float32]) -> tuple[float, float]:
    """Median of a picture's outermost pixels, and their robust spread, in grey levels."""
    level = border_median(grey)
    return level, float(1.4826 * np.median(np.abs(_border(grey) - level)))


def _border(grey: NDArray[_Pixel]) -> NDArray[_Pixel]:
    """A picture's outermost pixels."""
    return np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def find_foreground(grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(H, W) bool: the part, its holes filled, and a rim of background; every pixel if it fills the picture.

    The background is what looks like the picture's border. A rim of a thirty-second of the picture stays in, since
    the part's outline says most about its pose.
    """
    away, height, width = _off_the_table(grey), *grey.shape
    differs = cv2.morphologyEx((away != 0).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(differs, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    everything = np.ones(grey.shape, np.bool_)
    if n_labels < 2 or areas.max() < 0.002 * grey.size:
        return everything
    kept = np.isin(labels, 1 + np.flatnonzero(areas >= 0.1 * areas.max())).astype(np.uint8)
    kept = _filled(kept)
    if kept.mean() > _MOSTLY_PART or _border(kept).mean() > 0.02:
        return everything
    return cv2.dilate(kept, _disc(max(height, width) // 32)).astype(np.bool_)


def find_part(grey: NDArray[np.float32], foreground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) bool: what sharp edges of `grey` (H, W) enclose, and a rim; the part without the shadow that it throws.

    An edge is sharp when blurring takes most of its slope, whatever its contrast: a part's outline is, the edge of a
    shadow on the table is not. Only edges that lie mostly in `foreground` (H, W) count (see `find_foreground`).
    Outlines with gaps, where light fails or the part leaves the picture, enclose as well. What is brighter than the
    table is no shadow. A piece of `foreground` of which little would be left, for it has no sharp outline, stays.
    """
    rim = max(1, round(max(grey.shape) * _RIM_SHARE))
    edges = _sharp_edges(grey, foreground)
    closed = cv2.morphologyEx(np.pad(edges, rim), cv2.MORPH_CLOSE, _disc(rim))[rim:-rim, rim:-rim]
    outline = np.array(closed, np.uint8)
    enclosed = _enclosed(outline) & foreground
    part = cv2.dilate(_filled(outline), _disc(rim)).astype(np.bool_)
    n_pieces, pieces = cv2.connectedComponents(foreground.astype(np.uint8), connectivity=8)
    lost = np.bincount(pieces[part], minlength=n_pieces) <= _LEAST_SHARE * np.bincount(pieces.ravel())
    bright = _off_the_table(grey) > 0
    return np.asarray(part | enclosed | (foreground & (bright | lost[pieces])), np.bool_)


def _off_the_table(grey: NDArray[np.float32]) -> NDArray[np.int8]:
    """(H, W): 1 where `grey` is brighter than the picture's border shows, -1 where it is darker, else 0."""
    level, spread = border_level(grey)
    away = cv2.GaussianBlur(grey, (0, 0), 1.0) - level
    return np.asarray(np.sign(away) * (np.abs(away) > max(4 * spread, 12.0)), np.int8)


def _sharp_edges(grey: NDArray[np.float32], foreground: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W) of 0 and 1: edges of `grey` that a blur takes most of the slope from, of those mostly in `foreground`."""
    slope = _slope(grey, 1.0)
    least = max(6 * float(np.median(_border(slope))), _LEAST_SLOPE)
    sharp = ((slope > least) & (slope > _SHARP * _slope(grey, _COARSE_PX))).astype(np.uint8)
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(sharp, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    within = np.bincount(labels[foreground], minlength=n_labels)[1:] > 0.5 * areas
    return np.isin(labels, 1 + np.flatnonzero(within & (areas >= 0.01 * areas.max(initial=0)))).astype(np.uint8)


def _enclosed(outline: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) bool: from where `outline` (H, W) of 0 and 1 is seen in three of the directions along rows and columns."""
    seen = np.zeros(outline.shape, np.uint8)
    for axis in (0, 1):
        seen += np.maximum.accumulate(outline, axis)
        seen += np.flip(np.maximum.accumulate(np.flip(outline, axis), axis), axis)
    return np.asarray(seen >= _DIRECTIONS, np.bool_)


def _slope(grey: NDArray[np.float32], blur_px: float) -> NDArray[np.float32]:
    """(H, W) grey levels a pixel, of `grey` under a Gaussian of `blur_px`."""
    smooth = cv2.GaussianBlur(grey, (0, 0), blur_px)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, down), np.float32)


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def _filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`mask` (H, W) of 0 and 1 with its holes filled, in place."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, list(outlines), -1, (1,), thickness=cv2.FILLED)
    return mask


def encode_trust(trust: NDArray[np.float32]) -> str:
    """`trust` (H, W) in 0 to 1 as a grey PNG of 16 levels in base64, for `AlignSettings.mask_png`."""
    levels = (np.rint(np.clip(trust, 0, 1) * 15) * 17).astype(np.uint8)
    done, png = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise SetupError(f"a foreground mask of shape {trust.shape} could not be written as PNG")
    return base64.b64encode(png.tobytes()).decode()


def template_trust(grey: NDArray[np.float32], settings: AlignSettings) -> NDArray[np.float32]:
    """(H, W) in 0 to 1: how far each pixel belongs to the part and looks the same on every part.

    From `settings.mask_png` if there is one, else 1 on the foreground and 0 elsewhere.
    Raises: SetupError when `mask_png` is not a PNG of the template's shape or marks fewer than 64 pixels.
    """
    if settings.mask_png is None:
        found = np.ones(grey.shape, np.bool_) if settings.foreground == "all" else find_foreground(grey)
        return found.astype(np.float32)
    try:
        raw = np.frombuffer(base64.b64decode(settings.mask_png, validate=True), np.uint8)
        picture = cv2.imdecode(raw, cv2.IMREAD_GRAYSCALE) if raw.size else None
    except ValueError as exc:
        raise SetupError(f"align settings: mask_png is not base64 ({exc}); train the bundle again") from exc
    if picture is None or picture.shape != grey.shape:
        seen = "no PNG" if picture is None else f"shape {picture.shape}"
        raise SetupError(f"align settings: mask_png has {seen}, the template {grey.shape}; train the bundle again")
    trust = np.asarray(picture, np.float32) / np.float32(255)
    if int((trust >= 0.1).sum()) < 64:
        raise SetupError(f"align settings: mask_png marks {int((trust >= 0.1).sum())} pixels; 64 are needed")
    return trust
