"""What else makes a rolling median of gradients: what one can install, and the ways not taken.

Each takes a window of gradients of one axis, (w, H, W) int16, and returns milliseconds of CPU time a frame and the
last median (H, W) it computed. What keeps a state is given time to fill it first.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel
from schemas.errors import MissingExtra

Stack = NDArray[np.int16]
Rival = Callable[[Stack, int], tuple[float, NDArray[Any]]]


def timed(step: Callable[[], Any], n: int) -> float:
    """Median CPU time of `n` calls in milliseconds, after one that is not counted."""
    step()
    times = []
    for _ in range(n):
        start = time.thread_time()
        step()
        times.append(time.thread_time() - start)
    return float(np.median(times)) * 1e3


def numpy_median(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """np.median of the window, anew for every frame."""
    window = stack[-w:]
    return timed(lambda: np.median(window, axis=0), 5), np.median(window, axis=0)


def bottleneck_move_median(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """bottleneck.move_median: two heaps a pixel, O(log w) a frame; it wants floats and the whole film at once.

    What the frames after the first w add is counted, as the others' is.
    """
    try:
        bottleneck = importlib.import_module("bottleneck")
    except ImportError as exc:
        raise MissingExtra("bottleneck", "bench", "the benchmark's baseline") from exc
    film = stack.astype(np.float32)
    took_ms = []
    for n in (w, len(film)):
        start = time.thread_time()
        medians = bottleneck.move_median(film[-n:], w, axis=0)
        took_ms.append((time.thread_time() - start) * 1e3)
    return (took_ms[1] - took_ms[0]) / (len(film) - w), medians[-1]


def scipy_median_filter(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """scipy.ndimage.median_filter with a footprint of w frames by one pixel; of an even w it takes the upper one."""
    try:
        ndimage = importlib.import_module("scipy.ndimage")
    except ImportError as exc:
        raise MissingExtra("scipy", "bench", "the benchmark's baseline") from exc
    n = min(len(stack), w + 1)
    film = stack[-n:]
    start = time.thread_time()
    filtered = ndimage.median_filter(film, size=(w, 1, 1), mode="nearest")
    return (time.thread_time() - start) * 1e3 / n, filtered[n - 1 - (w - 1) // 2]


def comparators(n: int) -> list[tuple[int, int]]:
    """Batcher's odd-even merge sort of n values, pruned to what the two middle ones depend on."""
    size = 1 << (n - 1).bit_length()
    pairs: list[tuple[int, int]] = []
    p = 1
    while p < size:
        k = p
        while k >= 1:
            for j in range(k % p, size - k, 2 * k):
                lower = range(j, j + min(k, size - j - k))
                pairs += [(a, a + k) for a in lower if a // (2 * p) == (a + k) // (2 * p)]
            k //= 2
        p *= 2
    pairs = [(a, b) for a, b in pairs if b < n]
    needed, kept = {(n - 1) // 2, n // 2}, []
    for a, b in reversed(pairs):
        if a in needed or b in needed:
            kept.append((a, b))
            needed |= {a, b}
    return kept[::-1]


def opencv_network(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """The pruned selection network in cv2.min and cv2.max over whole planes."""
    pairs = comparators(w)

    def select() -> NDArray[Any]:
        planes = list(stack[-w:])
        for a, b in pairs:
            planes[a], planes[b] = cv2.min(planes[a], planes[b]), cv2.max(planes[a], planes[b])
        return np.asarray((planes[(w - 1) // 2].astype(np.int32) + planes[w // 2]) * 0.5)

    return timed(select, 5), select()


def numba_network(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """The pruned selection network in one compiled loop over pixels, in lanes of 16 bits."""
    lines = ["def network(window, out):", f"    {', '.join(f'r{i}' for i in range(w))} = window"]
    lines += ["    for i in range(out.shape[0]):"]
    lines += [f"        v{i} = r{i}[i]" for i in range(w)]
    for a, b in comparators(w):
        lines.append(f"        v{a}, v{b} = (v{a} if v{a} < v{b} else v{b}), (v{b} if v{a} < v{b} else v{a})")
    lines.append(f"        out[i] = v{(w - 1) // 2} + v{w // 2}")
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    import numba

    network = numba.njit(scope["network"], nogil=True)
    out = np.zeros(stack[0].size, np.int16)
    rows = tuple(plane.reshape(-1) for plane in stack[-w:])

    def select() -> None:
        block = 4096
        for start in range(0, out.size, block):
            network(tuple(row[start : start + block] for row in rows), out[start : start + block])

    return timed(select, 5), out.reshape(stack.shape[1:]) * 0.5


@kernel
def _replace_sorted(columns: NDArray[np.int16], gone: NDArray[np.int16], came: NDArray[np.int16]) -> None:
    w, n = columns.shape
    for start in range(0, n, 4096):
        stop = min(start + 4096, n)
        before = np.full(stop - start, -32768, np.int16)
        for k in range(w):
            row = columns[k, start:stop]
            after = columns[min(k + 1, w - 1), start:stop]
            a, b = gone[start:stop], came[start:stop]
            for i in range(stop - start):
                s, lower = row[i], before[i]
                upper = after[i] if k + 1 < w else np.int16(32767)
                reach = upper if upper < b[i] else b[i]
                rising = s if s < a[i] else (s if s > reach else reach)
                reach = lower if lower > b[i] else b[i]
                falling = s if s > a[i] else (s if s < reach else reach)
                before[i] = s
                row[i] = rising if b[i] >= a[i] else falling


def sorted_columns(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """Every pixel's window kept sorted; one pass takes the old value out and puts the new one in."""
    film = stack.reshape(len(stack), -1)
    columns = np.sort(film[:w], axis=0)
    times = []
    for number in range(w, len(film)):
        start = time.thread_time()
        _replace_sorted(columns, film[number - w], film[number])
        times.append(time.thread_time() - start)
    middle = (columns[(w - 1) // 2].astype(np.int32) + columns[w // 2]) * 0.5
    return float(np.median(times[1:])) * 1e3, middle.reshape(stack.shape[1:])


@kernel
def _walk(counts: NDArray[np.uint8], state: NDArray[np.int16], gone: NDArray[np.int16], came: NDArray[np.int16],
          half: int) -> None:  # fmt: skip
    for i in range(gone.size):
        bins = counts[i]
        middle, below = state[0, i], state[1, i]
        bins[gone[i] + 255] -= 1
        bins[came[i] + 255] += 1
        below += np.int16(came[i] < middle) - np.int16(gone[i] < middle)
        while below > half:
            middle -= 1
            below -= bins[middle + 255]
        while below + bins[middle + 255] <= half:
            below += bins[middle + 255]
            middle += 1
        state[0, i], state[1, i] = middle, below


def histogram_walk(stack: Stack, w: int) -> tuple[float, NDArray[Any]]:
    """A histogram of 511 counts a pixel and a walk from the old median (odd w; of an even w the upper one)."""
    film = stack.reshape(len(stack), -1)
    counts, state = np.zeros((film.shape[1], 511), np.uint8), np.zeros((2, film.shape[1]), np.int16)
    for frame in film[:w]:
        counts[np.arange(film.shape[1]), frame + 255] += 1
    for i in range(film.shape[1]):
        upto = np.cumsum(counts[i])
        state[0, i] = int(np.searchsorted(upto, w // 2, side="right")) - 255
        state[1, i] = upto[state[0, i] + 254] if state[0, i] > -255 else 0
    times = []
    for number in range(w, len(film)):
        start = time.thread_time()
        _walk(counts, state, film[number - w], film[number], w // 2)
        times.append(time.thread_time() - start)
    return float(np.median(times[1:])) * 1e3, state[0].reshape(stack.shape[1:])


INSTALLED: Mapping[str, Rival] = {
    "numpy_median": numpy_median,
    "bottleneck_move_median": bottleneck_move_median,
    "scipy_median_filter": scipy_median_filter,
    "opencv_selection_network": opencv_network,
}
NOT_TAKEN: Mapping[str, Rival] = {
    "numba_selection_network": numba_network,
    "numba_sorted_columns": sorted_columns,
    "numba_histogram_walk": histogram_walk,
}
UPPER_OF_EVEN = ("scipy_median_filter", "numba_histogram_walk")
"""Those that give the upper of the two middle values when w is even."""
