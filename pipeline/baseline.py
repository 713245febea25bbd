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
_REACH = 4 * 0.5 / 31**0.5
"""Four standard deviations of the rank, as a share, at which the median of 31 lies in the whole distribution."""
_REACH_SIGMA = 1.0768
"""Distance from the median to that quantile of a Gaussian, in sigma."""
_ABSENT = np.iinfo(np.int32).max
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


def learn_baseline(
    pictures: Sequence[Picture],
    hits: NDArray[np.bool_] | None = None,
    valid: Sequence[NDArray[np.bool_] | None] | None = None,
    foreground: NDArray[np.bool_] | None = None,
) -> Baseline:
    """The baseline of commissioning frames: aligned good parts, in the order they were taken.

    The noise of a pixel is the largest of three: the distance from the median to the quantiles of single frames that
    four standard deviations of a window's median reach (scaled so that it is sigma for a Gaussian; where good parts
    come in two kinds it is what separates them); what the medians of consecutive windows wander by, which sees
    slow drift; and the mean of its 3x3 neighbours. It is infinite where nothing is watched.

    Args: pictures: n of at least 8, (H, W), all of one shape; 100 or more give a quiet baseline. hits:
        (n, rows, columns), the cells of their score grids that exceeded the cell threshold. valid: for each picture
        which pixels its frame reached, None = all; a pixel that fewer than half of them reach is not watched.
        foreground: (H, W), False where nothing is watched.
    Raises: ValueError when there are too few pictures.
    """
    if len(pictures) < MIN_BASELINE_FRAMES:
        raise ValueError(f"{len(pictures)} commissioning frames: a baseline needs at least {MIN_BASELINE_FRAMES}")
    height, width = pictures[0].shape
    reached = None if valid is None else [np.ones((height, width), bool) if m is None else m for m in valid]
    median, noise = np.zeros((2, height, width), np.float32), np.zeros((2, height, width), np.float32)
    wander = np.zeros((2, height, width), np.float32)
    rows = max(1, _CHUNK_VALUES // (2 * len(pictures) * width))
    for top in range(0, height, rows):
        low, high, bottom = max(top - 1, 0), min(top + rows + 1, height), min(top + rows, height)
        inner = slice(top - low, bottom - low)
        stack = np.stack([gradients(picture[low:high]) for picture in pictures])[:, :, inner]
        if reached is not None:
            counts = np.stack([_both_valid(mask[low:high]) for mask in reached])[:, :, inner]
            stack = np.where(counts, stack, _ABSENT)
        median[:, top:bottom], noise[:, top:bottom] = _centre_and_spread(stack)
        wander[:, top:bottom] = _wander(stack, median[:, top:bottom])
    watched = np.ones((height, width), bool) if foreground is None else foreground
    if reached is not None:
        watched = watched & (np.mean(reached, axis=0) >= 0.5)
    slow = np.sqrt(np.stack([cv2.boxFilter(axis, -1, (5, 5)) for axis in wander]))
    near = np.stack([cv2.boxFilter(axis, -1, (3, 3)) for axis in noise])
    spread = np.maximum(np.maximum(noise, near), np.maximum(slow, np.float32(NOISE_FLOOR_GREY)))
    spread[:, ~cv2.erode(watched.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)] = np.inf
    median[~np.isfinite(spread)] = 0
    background = None if hits is None else hit_rates(hits, watched)
    return Baseline(median, spread.astype(np.float32), len(pictures), background)


def _both_valid(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(2, h, w): whether both pixels of each gradient are valid."""
    out = np.ones((2, *mask.shape), bool)
    out[0, :, 1:-1] = mask[:, 2:] & mask[:, :-2]
    out[1, 1:-1] = mask[2:] & mask[:-2]
    return out


def _centre_and_spread(stack: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median over the first axis, and the noise of a value, `_ABSENT` values left out; (2, h, w) each."""
    ordered = np.sort(stack, axis=0)
    last = np.maximum((stack != _ABSENT).sum(axis=0), 1) - 1
    low, middle, high = (_ranked(ordered, last, share) for share in (0.5 - _REACH, 0.5, 0.5 + _REACH))
    return middle, np.maximum(high - middle, middle - low) / np.float32(_REACH_SIGMA)


def _ranked(ordered: NDArray[np.int32], last: NDArray[np.int64], share: float) -> NDArray[np.float32]:
    """The value at `share` of the way from rank 0 to rank `last`, the mean of its two neighbours when between."""
    below, above = np.floor(last * share).astype(np.int64), np.ceil(last * share).astype(np.int64)
    pair = [np.take_along_axis(ordered, rank[None], axis=0)[0] for rank in (below, above)]
    return np.asarray((pair[0] + pair[1]) * 0.5, np.float32)


def _wander(stack: NDArray[np.int32], middle: NDArray[np.float32]) -> NDArray[np.float32]:
    """Variance of one frame, as the medians of half-overlapping windows imply it, (2, h, w)."""
    n = len(stack)
    length = min(WINDOW_FRAMES, n // 2)
    starts = range(0, n - length + 1, max(1, length // 2))
    total = np.zeros(middle.shape, np.float64)
    for start in starts:
        off = _centre_and_spread(stack[start : start + length])[0] - middle
        reached = (stack[start : start + length] != _ABSENT).sum(axis=0) * 2 >= length
        total += np.where(reached, np.square(off), 0.0)
    return np.asarray(total / len(starts) / (MEDIAN_SPREAD**2 * (1.0 / length - 1.0 / n)), np.float32)


def hit_rates(hits: NDArray[np.bool_], watched: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How often each cell is hit on good parts, estimated high where it was hit at all, (rows, columns) float32.

    (hits + 1) / (frames + 1) where there was a hit, at least half of that next to it, 0.5 / (frames + 1) elsewhere
    (Jeffreys): from 500 frames on the alarm is as quick as it can be made. Overstating a rate costs delay at that
    cell, understating it costs false alarms. 1 where less than half of the cell is watched: it never alarms.
    """
    counted = hits.sum(axis=0)
    own = (np.where(counted > 0, counted + 1, 0.5) / (len(hits) + 1)).astype(np.float32)
    near = cv2.dilate(own, np.ones((3, 3), np.uint8))
    rows, columns = own.shape
    seen = cv2.resize(watched.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(np.where(seen < 0.5, 1.0, np.maximum(own, 0.5 * near)), np.float32)
