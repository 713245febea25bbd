"""Sequential alarm per cell of the score grid: a bank of Bernoulli CUSUMs whose false-alarm rate is computed.

A cell that exceeds its threshold is a hit. On good parts a cell hits with a small probability p0; a systematic
defect makes it hit at some rate q. Per rate, S <- max(0, S + log-likelihood ratio of q against p0), kept in
integers, so that the run length is that of a finite Markov chain and the state is the same on every machine.
Sources: Page 1954; Lorden 1971; Reynolds & Stoumbos 1999 (Bernoulli CUSUM).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HIT_RATES = (0.9, 0.5, 0.25, 0.1)
UNITS_PER_NAT = 16
HISTORY_FRAMES = 64


@dataclass(frozen=True, slots=True)
class Chart:
    """One CUSUM: what a hit adds, what a miss takes away, and the level at which it alarms (1/16 nat)."""

    hit_rate: float
    gain: int
    loss: int
    threshold: int
    arl0_frames: float


def run_length(background: float, gain: int, loss: int, threshold: int) -> float:
    """Mean frames to a false alarm of one cell, started at zero: exact, from the chain's linear equations."""
    states = np.arange(threshold)
    chain = np.eye(threshold)
    np.subtract.at(chain, (states, np.maximum(states - loss, 0)), 1.0 - background)
    up = states + gain
    inside = up < threshold
    np.subtract.at(chain, (states[inside], up[inside]), background)
    return float(np.linalg.solve(chain, np.ones(threshold))[0])


@lru_cache(maxsize=64)
def design(n_cells: int, arl0_frames: float, background: float) -> tuple[Chart, ...]:
    """A chart per hit rate such that the whole map alarms falsely once in `arl0_frames` frames at most.

    The budget is shared evenly over cells and charts (union bound, so dependence between cells does not matter).
    """
    target = arl0_frames * n_cells * len(HIT_RATES)
    charts: list[Chart] = []
    for rate in HIT_RATES:
        gain = round(UNITS_PER_NAT * math.log(rate / background))
        loss = max(1, round(UNITS_PER_NAT * math.log((1 - background) / (1 - rate))))
        low, high = 1, gain * 2
        while run_length(background, gain, loss, high) < target:
            low, high = high, high * 2
        while low < high:
            middle = (low + high) // 2
            if run_length(background, gain, loss, middle) >= target:
                high = middle
            else:
                low = middle + 1
        charts.append(Chart(rate, gain, loss, low, run_length(background, gain, loss, low)))
    return tuple(charts)


class CellAlarm:
    """The charts of every cell of a grid, and each cell's hits in the last 64 frames."""

    def __init__(self, n_cells: int, arl0_frames: float, background: float) -> None:
        self.charts = design(n_cells, arl0_frames, background)
        self.statistic = np.zeros((len(self.charts), n_cells), np.int32)
        self.hits = np.zeros(n_cells, np.uint64)
        self._threshold = np.array([chart.threshold for chart in self.charts], np.int32)[:, None]

    def update(self, hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take one frame's hits (n_cells,); return which cells are at or above a threshold."""
        self.hits = (self.hits << np.uint64(1)) | hit.astype(np.uint64)
        for chart, row in zip(self.charts, self.statistic, strict=True):
            np.maximum(row + np.where(hit, chart.gain, -chart.loss), 0, out=row)
        np.minimum(self.statistic, 4 * self._threshold, out=self.statistic)
        alarms: NDArray[np.bool_] = (self.statistic >= self._threshold).any(axis=0)
        return alarms

    def relative(self) -> NDArray[np.float32]:
        """Largest statistic of each cell in units of its threshold: 1 is an alarm."""
        share: NDArray[np.float32] = (self.statistic / self._threshold).max(axis=0).astype(np.float32)
        return share
