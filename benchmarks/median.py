"""`sightline bench median`: the rolling median of gradients beside what one can install and the ways not taken.

One core, CPU time, medians, in one run. Frames are a smooth part with sensor noise of 4 grey levels, 8 bit. A figure
is milliseconds a frame and axis, state kept and the window full; every method's answer is compared with np.median's
before its time counts. `ours` and `baseline`: w = 30 at 256x256, ours and np.median.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.median_rivals import INSTALLED, NOT_TAKEN, UPPER_OF_EVEN, Rival
from benchmarks.result import BenchResult, Json, machine
from engines.kernel import kernel
from pipeline.rolling_median import RollingMedian, gradients
from schemas.errors import MissingExtra

SIZES_PX = (256, 1024)
WINDOWS = (30, 31)
_PACKAGES = ("numpy", "numba", "opencv-python-headless", "bottleneck", "scipy")


def film(side_px: int, n_frames: int, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> list[NDArray[np.uint8]]:
    """Frames of a part with sensor noise."""
    rng = np.random.default_rng(7)
    part = cv2.GaussianBlur(rng.normal(0, 1, (side_px, side_px)).astype(np.float32), (0, 0), 3)
    grey = 120 + part / part.std() * 30
    scale = 1 if dtype is np.uint8 else 256
    noisy = (grey + rng.normal(0, 4, (side_px, side_px)).astype(np.float32) for _ in range(n_frames))
    return [np.clip(frame * scale, 0, np.iinfo(dtype).max).astype(dtype) for frame in noisy]


def ours(frames: list[NDArray[np.uint8]], w: int, masked: bool = False) -> tuple[float, RollingMedian]:
    """Milliseconds of CPU time a frame and axis, and the window as it stands."""
    window = RollingMedian(frames[0].shape, frames[0].dtype, w)
    valid = None
    if masked:
        valid = np.ones(frames[0].shape, bool)
        valid[: len(valid) // 8] = False
    times = []
    for frame in frames:
        start = time.thread_time()
        window.push(frame, valid)
        times.append(time.thread_time() - start)
    return float(np.median(times[w + 1 :])) * 1e3 / 2, window


def against(rivals: Mapping[str, Rival], frames: list[NDArray[np.uint8]], w: int, mine_ms: float) -> dict[str, Json]:
    """Every rival's time and how many times ours it is, on the x gradients of the same frames."""
    stack = np.stack([gradients(frame)[0] for frame in frames[-(w + 20) :]]).astype(np.int16)
    right = np.median(stack[-w:], axis=0)
    upper = np.sort(stack[-w:], axis=0)[w // 2]
    figures: dict[str, Json] = {}
    for name, rival in rivals.items():
        try:
            took_ms, median = rival(stack, w)
        except MissingExtra as missing:
            figures[name] = f"skipped: {missing}"
            continue
        expected = upper if name in UPPER_OF_EVEN else right
        if not np.array_equal(np.asarray(median, np.float64), expected):
            figures[name] = "skipped: its answer differs from np.median's"
            continue
        figures[name] = {"ms": took_ms, "times_ours": took_ms / mine_ms}
    return figures


@kernel
def _read(buffer: NDArray[np.uint64]) -> int:
    total = np.uint64(0)
    for value in buffer:
        total ^= value
    return int(total >> np.uint64(32))


def bandwidth_gb_s(n_bytes: int) -> float:
    """What one core reads in order from a buffer of this size, read over and over."""
    buffer = np.ones(n_bytes // 8, np.uint64)
    _read(buffer)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        _read(buffer)
        times.append(time.perf_counter() - start)
    return n_bytes / float(np.median(times)) / 1e9


def _size(side_px: int, with_rivals: bool) -> dict[str, Json]:
    figures: dict[str, Json] = {}
    for w in WINDOWS:
        frames = film(side_px, w + 60 if side_px <= 256 else w + 24)
        mine_ms, window = ours(frames, w)
        exact = np.array_equal(window.twice_median()[0], 2 * np.median(
            np.stack([gradients(frame)[0] for frame in frames[-w:]]), axis=0))  # fmt: skip
        n_bytes = w * side_px * side_px
        rate = bandwidth_gb_s(n_bytes)
        held: dict[str, Json] = {
            "ours_ms": mine_ms,
            "exact": exact,
            "window_bytes": n_bytes,
            "read_bandwidth_gb_s": rate,
            "times_reading_the_window_once": 2 * mine_ms / (n_bytes / rate / 1e6),
        }
        rivals = {**INSTALLED, **NOT_TAKEN} if with_rivals and side_px <= 256 else INSTALLED
        held |= against(rivals, frames, w, mine_ms)
        figures[f"w{w}"] = held
    return figures


def run() -> BenchResult:
    """All figures; about two minutes."""
    by_size: dict[str, Json] = {f"{side}x{side}": _size(side, True) for side in SIZES_PX}
    others: dict[str, Json] = {
        "masked_256_w31_ms": ours(film(256, 80), 31, masked=True)[0],
        "uint16_256_w31_ms": ours(film(256, 80, np.uint16), 31)[0],
        "uint8_256_w255_ms": ours(film(256, 300), 255)[0],
    }
    first = by_size["256x256"]
    assert isinstance(first, dict)
    held = first["w30"]
    assert isinstance(held, dict)
    mine, numpy_held = held["ours_ms"], held["numpy_median"]
    assert isinstance(mine, float) and isinstance(numpy_held, dict)
    theirs = numpy_held["ms"]
    assert isinstance(theirs, float)
    figures: dict[str, Json] = {"unit": "ms CPU per frame and axis, w = 30, 256x256", **by_size, **others}
    return BenchResult("median", mine, theirs, theirs / mine, figures, machine(_PACKAGES))
