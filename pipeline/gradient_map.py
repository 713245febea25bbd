"""The median-gradient map of a window, the golden baseline it is compared with, and the regions that differ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.rolling_median import Picture, gradients
from schemas.errors import SetupError
from schemas.verdict import Box

BASELINE_FORMAT = 1
MIN_BASELINE_FRAMES = 8
NOISE_FLOOR_GREY = 1.0
_MAD_TO_SIGMA = 1.4826
_MEDIAN_SPREAD = 1.2533
"""Standard deviation of the median of n Gaussian values is 1.2533 sigma / sqrt(n)."""


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What good parts show: `median` and `noise` (2, H, W) float32, in grey levels over two pixels; x, then y.

    `noise` is the spread (sigma, by the median absolute deviation) of one frame's gradient at that pixel.
    """

    median: NDArray[np.float32]
    noise: NDArray[np.float32]
    n_frames: int

    def to_bytes(self) -> bytes:
        """The content of ``baseline.npz``; the same baseline always gives the same bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            format=np.int64(BASELINE_FORMAT),
            median=self.median,
            noise=self.noise,
            n_frames=np.int64(self.n_frames),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Baseline:
        """The baseline in `content`. Raises: SetupError when it is not one, or of another format."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                form, n_frames = int(held["format"]), int(held["n_frames"])
                median, noise = np.asarray(held["median"]), np.asarray(held["noise"])
        except (OSError, ValueError, KeyError, EOFError) as exc:
            raise SetupError(f"this is not a baseline.npz: {exc}; learn it again with `sightline baseline`") from exc
        if form != BASELINE_FORMAT or median.ndim != 3 or median.shape[0] != 2 or median.shape != noise.shape:
            raise SetupError(
                f"baseline.npz has format {form} and shape {median.shape}; format {BASELINE_FORMAT} and (2, H, W) are"
                " expected: learn it again with `sightline baseline`"
            )
        return cls(median.astype(np.float32), noise.astype(np.float32), n_frames)


def learn_baseline(frames: Sequence[Picture]) -> Baseline:
    """The baseline of commissioning frames: aligned good parts, all of one shape.

    Args: frames: at least 8 pictures (H, W); 50 or more give a quiet baseline.
    Raises: ValueError when there are too few.
    """
    if len(frames) < MIN_BASELINE_FRAMES:
        raise ValueError(f"{len(frames)} commissioning frames: a baseline needs at least {MIN_BASELINE_FRAMES}")
    height, width = frames[0].shape
    median = np.zeros((2, height, width), np.float32)
    noise = np.zeros((2, height, width), np.float32)
    rows = max(8, 16_000_000 // (len(frames) * width))
    for top in range(0, height, rows):
        low, high = max(top - 1, 0), min(top + rows + 1, height)
        stack = np.stack([gradients(frame[low:high]) for frame in frames]).astype(np.float32)
        inner = slice(top - low, top - low + min(rows, height - top))
        stack = stack[:, :, inner]
        middle = np.median(stack, axis=0)
        median[:, top : top + rows] = middle
        noise[:, top : top + rows] = _MAD_TO_SIGMA * np.median(np.abs(stack - middle), axis=0)
    median[1, 0] = median[1, -1] = 0
    return Baseline(median, np.maximum(noise, np.float32(NOISE_FLOOR_GREY)), len(frames))


def magnitude(twice_median: NDArray[np.int32]) -> NDArray[np.float32]:
    """Length of the median gradient vector, (H, W) float32 (eq. of 003 §3.4). Args: twice_median: (2, H, W)."""
    half = twice_median.astype(np.float32) * np.float32(0.5)
    return np.hypot(half[0], half[1])


def deviation(twice_median: NDArray[np.int32], n_frames: int, baseline: Baseline) -> NDArray[np.float32]:
    """How far the window's median gradient lies from the baseline's, in units of noise, (H, W) float32.

    The unit is the standard deviation of a difference of two medians, of `n_frames` and of the baseline's frames.
    """
    spread = _MEDIAN_SPREAD * float(np.sqrt(1.0 / n_frames + 1.0 / baseline.n_frames))
    units = (twice_median.astype(np.float32) * np.float32(0.5) - baseline.median) / (
        baseline.noise * np.float32(spread)
    )
    return np.hypot(units[0], units[1])


@dataclass(frozen=True, slots=True)
class Region:
    """A connected mark: its box in template pixels, its area and its largest deviation (units of noise)."""

    box_px: Box
    area_px: int
    peak: float


def regions(marked: NDArray[np.bool_], strength: NDArray[np.float32], min_area_px: int) -> list[Region]:
    """Connected components (8 neighbours, gaps of 2 px closed) of `marked` (H, W), largest first."""
    closed = cv2.morphologyEx(marked.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    found: list[Region] = []
    for label in range(1, count):
        x, y, w, h = (int(v) for v in stats[label, :4])
        inside: NDArray[Any] = (labels[y : y + h, x : x + w] == label) & marked[y : y + h, x : x + w]
        area = int(inside.sum())
        if area >= min_area_px:
            found.append(Region((x, y, w, h), area, float(strength[y : y + h, x : x + w][inside].max())))
    return sorted(found, key=lambda region: (-region.area_px, region.box_px))
