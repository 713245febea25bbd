"""The golden baseline: what the median-gradient map of good parts looks like, and how much it wanders."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.rolling_median import Picture, gradients
from schemas.errors import SetupError

BASELINE_FORMAT = 2
MIN_BASELINE_FRAMES = 8
NOISE_FLOOR_GREY = 1.0
WINDOW_FRAMES = 31
"""Length of the windows whose wandering is measured among the commissioning frames."""
MEDIAN_SPREAD = 1.2533
"""Standard deviation of the median of n Gaussian values is 1.2533 sigma / sqrt(n)."""
_MAD_TO_SIGMA = 1.4826
_CHUNK_VALUES = 8_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What good parts show.

    median, noise: (2, H, W) float32, x then y, in grey levels over two pixels; `noise` is the spread (sigma) of
    one frame's gradient. background: (rows, columns) float32, how often each cell of the score grid exceeds its
    threshold on good parts, None when that was not measured.
    """

    median: NDArray[np.float32]
    noise: NDArray[np.float32]
    n_frames: int
    background: NDArray[np.float32] | None = None

    def to_bytes(self) -> bytes:
        """The content of ``baseline.npz``; the same baseline always gives the same bytes."""
        arrays = {"median": self.median, "noise": self.noise}
        if self.background is not None:
            arrays["background"] = self.background
        buffer = io.BytesIO()
        np.savez_compressed(buffer, format=np.int64(BASELINE_FORMAT), n_frames=np.int64(self.n_frames), **arrays)  # type: ignore[arg-type]  # savez_compressed also has a keyword allow_pickle
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Baseline:
        """The baseline in `content`. Raises: SetupError when it is not one, or of another format."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                form, n_frames = int(held["format"]), int(held["n_frames"])
                median, noise = np.asarray(held["median"]), np.asarray(held["noise"])
                background = np.asarray(held["background"], np.float32) if "background" in held else None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise SetupError(f"this is not a baseline.npz: {exc}; learn it again with `sightline baseline`") from exc
        if form > BASELINE_FORMAT or median.ndim != 3 or median.shape[0] != 2 or median.shape != noise.shape:
            raise SetupError(
                f"baseline.npz has format {form} and shape {median.shape}; format {BASELINE_FORMAT} and (2, H, W) are"
                " expected: learn it again with `sightline baseline`"
            )
        return cls(median.astype(np.float32), noise.astype(np.float32), n_frames, background)


def learn_baseline(frames: Sequence[Picture], hits: NDArray[np.bool_] | None = None) -> Baseline:
    """The baseline of commissioning frames: aligned good parts, all of one shape, in the order they were taken.

    The noise of a pixel is the larger of two: the spread of single frames, and what the medians of consecutive
    windows wander by (which also sees slow drift and frames that resemble each other), smoothed over 5x5 pixels.

    Args: frames: at least 8 pictures (H, W); 100 or more give a quiet baseline. hits: (n, rows, columns), the
        cells of those frames' score grids that exceeded the cell threshold.
    Raises: ValueError when there are too few frames.
    """
    if len(frames) < MIN_BASELINE_FRAMES:
        raise ValueError(f"{len(frames)} commissioning frames: a baseline needs at least {MIN_BASELINE_FRAMES}")
    height, width = frames[0].shape
    median = np.zeros((2, height, width), np.float32)
    noise = np.zeros((2, height, width), np.float32)
    wander = np.zeros((2, height, width), np.float32)
    rows = max(1, _CHUNK_VALUES // (2 * len(frames) * width))
    for top in range(0, height, rows):
        low, high, bottom = max(top - 1, 0), min(top + rows + 1, height), min(top + rows, height)
        stack = np.stack([gradients(frame[low:high]) for frame in frames])[:, :, top - low : bottom - low]
        middle = np.median(stack, axis=0)
        median[:, top:bottom] = middle
        noise[:, top:bottom] = _MAD_TO_SIGMA * np.median(np.abs(stack - middle), axis=0)
        wander[:, top:bottom] = _wander(stack, middle)
    median[1, 0] = median[1, -1] = 0
    slow = np.stack([cv2.boxFilter(axis, -1, (5, 5)) for axis in wander])
    spread = np.maximum(np.maximum(noise, np.sqrt(slow)), np.float32(NOISE_FLOOR_GREY))
    return Baseline(median, spread.astype(np.float32), len(frames), None if hits is None else hit_rates(hits))


def _wander(stack: NDArray[np.int32], middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of one frame, as the medians of half-overlapping windows imply it, (2, rows, W)."""
    n = len(stack)
    length = min(WINDOW_FRAMES, n // 2)
    starts = range(0, n - length + 1, max(1, length // 2))
    total = sum(np.square(np.median(stack[start : start + length], axis=0) - middle) for start in starts)
    return np.asarray(total / len(starts) / (MEDIAN_SPREAD**2 * (1.0 / length - 1.0 / n)))


def hit_rates(hits: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How often each cell is hit on good parts, estimated high where it was hit at all, (rows, columns) float32.

    (hits + 1) / (frames + 1) where there was a hit, else 0: the alarm takes its own floor there. Overstating a
    rate costs a little delay at that cell, understating it costs false alarms.
    """
    counted = hits.sum(axis=0)
    rates: NDArray[np.float32] = np.where(counted > 0, (counted + 1) / (len(hits) + 1), 0.0).astype(np.float32)
    return rates
