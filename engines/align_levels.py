"""The template side of the alignment, computed once: pixels, template values and steepest-descent images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_settings import Motion
from engines.geometry import Size

F32 = NDArray[np.float32]

N_MOTION: Final[dict[str, int]] = {"rigid": 3, "similarity": 4, "affine": 6}


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One pyramid level of the template, with the pixels that the refinement uses there.

    `xs`, `ys` (n,) float32; `regressors` (m, n) float32: steepest-descent images, template, ones;
    `place` (cx, cy, reach, aspect) float64.
    """

    size: Size
    xs: F32
    ys: F32
    regressors: F32
    steep: F32
    place: NDArray[np.float64]


def gradients(grey: F32) -> tuple[F32, F32]:
    """Central differences in x and y, grey levels per pixel; zero at the border."""
    gx, gy = np.zeros_like(grey), np.zeros_like(grey)
    gx[:, 1:-1] = (grey[:, 2:] - grey[:, :-2]) / 2
    gy[1:-1] = (grey[2:] - grey[:-2]) / 2
    return gx, gy


def build_level(grey: F32, mask: NDArray[np.bool_], motion: Motion, aspect: float, most_pixels: int) -> Level:
    """The level of template `grey` (h, w); of the masked pixels the `most_pixels` with the strongest edges."""
    height, width = grey.shape
    gx, gy = gradients(grey)
    inner = mask.copy()
    inner[[0, -1]] = False
    inner[:, [0, -1]] = False
    at = np.flatnonzero(inner)
    energy = (gx**2 + gy**2).ravel()[at]
    if at.size > most_pixels:
        at = np.sort(at[np.argpartition(energy, at.size - most_pixels)[-most_pixels:]])
    energy_at = (gx**2 + gy**2).ravel()[at]
    ys, xs = np.divmod(at, width)
    cx, cy = float(xs.mean()), float(ys.mean())
    reach = float(max(np.sqrt(((xs - cx) ** 2 + (ys - cy) ** 2).mean()), 1.0))
    x, y = (xs - cx) / reach, (ys - cy) / reach
    ex, ey = gx.ravel()[at], gy.ravel()[at]
    rows: list[NDArray[np.floating[Any]]] = [ex, ey]
    if motion == "affine":
        rows += [ex * x, ex * y, ey * x, ey * y]
    else:
        rows.append(ex * y / aspect - ey * x * aspect)
        if motion == "similarity":
            rows.append(ex * x + ey * y)
    rows += [grey.ravel()[at], np.ones(at.size)]
    return Level(
        (width, height),
        xs.astype(np.float32),
        ys.astype(np.float32),
        np.ascontiguousarray(np.stack(rows), np.float32),
        np.sqrt(energy_at).astype(np.float32),
        np.array([cx, cy, reach, aspect]),
    )


def halve(grey: F32) -> F32:
    """`grey` (h, w) at half the size, each pixel the mean of those it covers."""
    height, width = grey.shape
    size = ((width + 1) // 2, (height + 1) // 2)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def halve_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`mask` (h, w) at half the size; a pixel belongs when most of it did."""
    return halve(mask.astype(np.float32)) >= 0.5
