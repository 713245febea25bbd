"""The template side of the alignment, computed once: pixels, template values and steepest-descent images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_refine import refine_all
from engines.align_settings import AlignSettings, Motion
from engines.geometry import Size
from engines.kernel import kernel

F32 = NDArray[np.float32]

_COARSEST_PX = 48
_MOST_PIXELS = (16384, 4096, 2048)
"""Of the finest level, the next, and all coarser ones: the strongest edges carry what there is to know."""

_BLUR = np.array([0.0295, 0.2354, 0.4702, 0.2354, 0.0295], np.float32)  # Gaussian, 0.85 px
_SLACK_PX = 0.8
_EDGE_GREY = 32.0
"""Grey levels that a slope of one grey level a pixel becomes."""
_HALF = 0.5**0.5
"""A central difference spans two pixels, and the root is taken of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One pyramid level of the template, with the pixels that the refinement uses there.

    `xs`, `ys`, `steep`, `trust` (n,) float32: pixels, length of the gradient, prior weight. `regressors` (m, n)
    float32: steepest-descent images, template, ones. `place` (cx, cy, reach, aspect) float64. `scale` (sx, sy)
    float64: pixels of this level per working pixel.
    """

    size: Size
    xs: F32
    ys: F32
    regressors: F32
    steep: F32
    trust: F32
    place: NDArray[np.float64]
    scale: NDArray[np.float64]

    def refine(self, image: F32, warps: NDArray[np.float64], steps: int, tolerance_px: float) -> NDArray[np.float64]:
        """Better `warps` (k, 2, 3) in place; returns (k,) agreements, -1 where it failed. See `refine_all`."""
        return refine_all(
            image,
            self.xs,
            self.ys,
            self.regressors,
            self.steep,
            self.trust,
            self.place,
            self.scale,
            warps,
            steps,
            tolerance_px,
            _SLACK_PX,
        )


def smooth(grey: NDArray[np.uint8] | NDArray[np.uint16] | F32) -> F32:
    """`grey` (h, w) as float32, blurred by 0.85 pixels' standard deviation.

    What a camera's square pixels alias at sharp edges shifts the pose by up to 0.03 px; this takes more than half
    of it away. Blurring more would lose to noise what it gains.
    """
    return np.asarray(cv2.sepFilter2D(grey, cv2.CV_32F, _BLUR, _BLUR, borderType=cv2.BORDER_REPLICATE), np.float32)


def edges(base: F32) -> F32:
    """(H, W) float32 the root of the gradient's length in the smoothed picture `base`, as grey levels.

    An outline is there whichever side of it is lit; the root keeps a highlight from drowning the rest.
    """
    out = np.empty_like(base)
    _outline(np.ascontiguousarray(base), out)
    return out


@kernel
def _outline(base: F32, out: F32) -> None:
    """By central differences; the outermost pixels are as their neighbours."""
    height, width = base.shape
    for y in range(1, height - 1):
        above, row, below, to = base[y - 1], base[y], base[y + 1], out[y]
        for x in range(1, width - 1):
            dx, dy = row[x + 1] - row[x - 1], below[x] - above[x]
            to[x] = np.float32(_EDGE_GREY * _HALF) * np.sqrt(np.sqrt(dx * dx + dy * dy))
        to[0], to[width - 1] = to[1], to[width - 2]
    out[0], out[height - 1] = out[1], out[height - 2]


def halve(grey: F32) -> F32:
    """`grey` (h, w) at half the size, each pixel the mean of those it covers."""
    height, width = grey.shape
    return np.asarray(cv2.resize(grey, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA), np.float32)


def pyramid(base: F32, n_levels: int) -> list[F32]:
    """`base` and its successive halves, finest first."""
    pictures = [base]
    while len(pictures) < n_levels:
        pictures.append(halve(pictures[-1]))
    return pictures


def build_levels(base: F32, trust: F32, settings: AlignSettings) -> tuple[Level, ...]:
    """Levels of the smoothed template `base` (H, W), finest first, down to at most 48 pixels a side.

    Args: trust: (H, W) in 0 to 1: how far a pixel belongs to the part and looks the same on every part.
    """
    levels: list[Level] = []
    full = (base.shape[1], base.shape[0])
    while True:
        most = _MOST_PIXELS[min(len(levels), len(_MOST_PIXELS) - 1)]
        levels.append(_build_level(base, trust, settings.motion, settings.pixel_aspect, full, most))
        if max(base.shape) <= _COARSEST_PX:
            return tuple(levels)
        base, trust = halve(base), halve(trust)


def _build_level(grey: F32, trust: F32, motion: Motion, pixel_aspect: float, full: Size, most: int) -> Level:
    height, width = grey.shape
    gx, gy = _gradients(grey)
    inner = trust >= 0.1
    inner[[0, -1]] = False
    inner[:, [0, -1]] = False
    at = np.flatnonzero(inner)
    steep = np.hypot(gx, gy).ravel()
    if at.size > most:
        worth = (steep * np.sqrt(trust.ravel()))[at]
        at = np.sort(at[np.argpartition(worth, at.size - most)[-most:]])
    ys, xs = np.divmod(at, width)
    cx, cy = float(xs.mean()), float(ys.mean())
    reach = float(max(np.sqrt(((xs - cx) ** 2 + (ys - cy) ** 2).mean()), 1.0))
    aspect = pixel_aspect * (full[1] / height) / (full[0] / width)
    rows = _motion_images(gx.ravel()[at], gy.ravel()[at], (xs - cx) / reach, (ys - cy) / reach, motion, aspect)
    rows += [grey.ravel()[at], np.ones(at.size)]
    return Level(
        (width, height),
        xs.astype(np.float32),
        ys.astype(np.float32),
        np.ascontiguousarray(np.stack(rows), np.float32),
        steep[at].astype(np.float32),
        np.ascontiguousarray(trust.ravel()[at], np.float32),
        np.array([cx, cy, reach, aspect]),
        np.array([width / full[0], height / full[1]]),
    )


def _gradients(grey: F32) -> tuple[F32, F32]:
    """Central differences in x and y, grey levels per pixel; zero at the border."""
    gx, gy = np.zeros_like(grey), np.zeros_like(grey)
    gx[:, 1:-1] = (grey[:, 2:] - grey[:, :-2]) / 2
    gy[1:-1] = (grey[2:] - grey[:-2]) / 2
    return gx, gy


def _motion_images(
    ex: F32, ey: F32, x: NDArray[Any], y: NDArray[Any], motion: Motion, aspect: float
) -> list[NDArray[np.floating[Any]]]:
    """Steepest-descent images (n,) of the parameters of `motion`, at gradients (ex, ey) and places (x, y)."""
    if motion == "affine":
        return [ex, ey, ex * x, ex * y, ey * x, ey * y]
    turn = ex * y * aspect - ey * x / aspect
    if motion == "similarity":
        return [ex, ey, turn, ex * x + ey * y]
    return [ex, ey, turn]
