"""The charts one would otherwise put on a cell, each with the same false-alarm rate for the whole map.

Median: the mark shows when more than half of the window carries it. Shewhart: a count over successive blocks of
31 parts. EWMA: an exponentially weighted hit rate. Their limits are computed for 1e6 frames of a 64x64 map.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.alarm_theory import ARL0_FRAMES, GRID, strikes
from pipeline.alarm import BACKGROUND

WINDOW_FRAMES = 31
EWMA_WEIGHT = 0.1
_STATES = 400
_CELL_ARL = ARL0_FRAMES * GRID[0] * GRID[1]


def median_alone(struck: NDArray[np.bool_]) -> int | None:
    """Parts until most of the last 31 carry the mark; good parts went before."""
    counts = np.convolve(struck, np.ones(WINDOW_FRAMES, np.int64))[: struck.size]
    return _first(counts > WINDOW_FRAMES // 2)


def shewhart_limit() -> int:
    """Least count in a block of 31 that good parts reach less often than the false-alarm rate allows."""
    wanted = WINDOW_FRAMES / _CELL_ARL
    for limit in range(WINDOW_FRAMES + 1):
        tail = sum(
            math.comb(WINDOW_FRAMES, k) * BACKGROUND**k * (1 - BACKGROUND) ** (WINDOW_FRAMES - k)
            for k in range(limit, WINDOW_FRAMES + 1)
        )
        if tail <= wanted:
            return limit
    return WINDOW_FRAMES


def shewhart(struck: NDArray[np.bool_], limit: int, phase: int) -> int | None:
    """Parts until the end of the first block whose count reaches `limit`; blocks end at `phase` modulo 31."""
    counts = np.convolve(struck, np.ones(WINDOW_FRAMES, np.int64))[: struck.size]
    ends = np.arange(struck.size) % WINDOW_FRAMES == phase
    return _first((counts >= limit) & ends)


def ewma_limit() -> float:
    """Limit of the EWMA of hits with the wanted run length (Brook & Evans 1972, the range cut into 400 states)."""
    low, high = EWMA_WEIGHT, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if _ewma_run_length(middle) < _CELL_ARL else (low, middle)
    return high


def _ewma_run_length(limit: float) -> float:
    step = limit / _STATES
    value = (np.arange(_STATES) + 0.5) * step
    chain = np.eye(_STATES)
    for level, probability in ((0.0, 1 - BACKGROUND), (1.0, BACKGROUND)):
        after = ((1 - EWMA_WEIGHT) * value + EWMA_WEIGHT * level) / step
        inside = after < _STATES
        np.subtract.at(chain, (np.flatnonzero(inside), after[inside].astype(int)), probability)
    length = float(np.linalg.solve(chain, np.ones(_STATES))[0])
    return length if length > 0 else math.inf


def ewma(struck: NDArray[np.bool_], limit: float) -> int | None:
    """Parts until the EWMA of hits, started at zero, reaches `limit`."""
    value = 0.0
    for number, on in enumerate(struck, 1):
        value += EWMA_WEIGHT * (float(on) - value)
        if value >= limit:
            return number
    return None


def _first(alarms: NDArray[np.bool_]) -> int | None:
    where = np.flatnonzero(alarms)
    return int(where[0]) + 1 if where.size else None


def rival_delays(hit_rate: float, n_runs: int, longest: int, seed: int) -> dict[str, float | None]:
    """Mean delay of each, None when more than one run in ten never alarms within `longest` parts."""
    limits = shewhart_limit(), ewma_limit()
    found: dict[str, list[int | None]] = {"median_alone": [], "shewhart_31": [], "ewma": []}
    for run in range(n_runs):
        rng = np.random.default_rng([seed, run])
        struck = strikes(hit_rate, 1, longest, rng)
        found["median_alone"].append(median_alone(struck))
        found["shewhart_31"].append(shewhart(struck, limits[0], int(rng.integers(WINDOW_FRAMES))))
        found["ewma"].append(ewma(struck, limits[1]))
    means: dict[str, float | None] = {}
    for name, each in found.items():
        seen = [delay for delay in each if delay is not None]
        means[name] = float(np.mean(seen)) if len(seen) > 0.9 * n_runs else None
    return means
