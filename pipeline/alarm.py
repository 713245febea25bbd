"""The sequential alarm on a map of cells: which places hit more often than good parts do, and how soon to say so.

Three views of the same hits, each with charts for several hit rates (`pipeline.chart`): every cell of the part,
3x3 windows of the part (a mark that lies between cells or jitters), and 3x3 windows of the sensor (a mark on lens
or lamp). A fourth looks at every k-th frame of a cell (one cavity of k). The whole map's false-alarm rate is
shared over them, over their places and over their charts by the union bound, which holds whatever the dependence
between neighbouring cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.alarm_kernels import find_periods, step_charts
from pipeline.chart import UNITS_PER_NAT, Chart, design_chart

BACKGROUND = 1e-3
"""Hit probability of a cell on good parts: what a bundle's cell threshold is calibrated to."""
RESTLESS = 2 * BACKGROUND
"""A cell that good parts hit more often does not count on the sensor, where every cell may come to lie anywhere."""
HIT_RATES = (0.97, 0.4, 0.12)
SHARES = {"cell": 0.50, "window": 0.20, "sensor": 0.20, "period": 0.10}
LONGEST_PERIOD = 16
HISTORY_FRAMES = 64
_ALL_SEEN = (1 << HISTORY_FRAMES) - 1
_CLASSES = tuple(BACKGROUND * 2 ** (j / 4) for j in range(33))
Hits = NDArray[np.bool_]


@lru_cache(maxsize=64)
def design_bank(
    n_places: int, arl0_frames: float, rates: tuple[float, ...], classes: tuple[int, ...]
) -> tuple[tuple[Chart | None, ...], ...]:
    """Charts by hit rate and background class (None for a class not asked for).

    `n_places` places together keep at least `arl0_frames` between false alarms.
    """
    target = arl0_frames * n_places * len(rates)
    return tuple(
        tuple(design_chart(rate, p, target) if c in classes else None for c, p in enumerate((*_CLASSES, 1.0)))
        for rate in rates
    )


def class_of(background: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The class, rounded up, of each hit probability; the last one, above 256 times the lowest, never alarms."""
    steps = np.ceil(4 * np.log2(np.maximum(background / BACKGROUND, 1.0)) - 1e-6)
    return np.minimum(steps, len(_CLASSES)).astype(np.uint8)


class ChartBank:
    """The charts of `n` places for several hit rates."""

    def __init__(self, background: NDArray[np.float64], arl0_frames: float, rates: tuple[float, ...]) -> None:
        """Args: background (n,): each place's hit probability on good parts."""
        self.kind = class_of(background)
        classes = tuple(int(c) for c in np.unique(self.kind))
        charts = design_bank(background.size, arl0_frames, rates, classes)
        self.gain = np.array([[c.gain if c else 0 for c in row] for row in charts], np.int16)
        self.loss = np.array([[c.loss if c else 1 for c in row] for row in charts], np.int16)
        self.threshold = np.array([[c.threshold if c else 0 for c in row] for row in charts], np.int16)
        self.statistic = np.zeros((len(rates), background.size), np.int16)
        self._alarm = np.zeros(background.size, np.uint8)

    def update(self, hit: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Take one frame's hits (n,); return the places that are hit and at a threshold (n,), None if none is."""
        args = (hit, self.kind, self.gain, self.loss, self.threshold, self.statistic, self._alarm)
        return self._alarm if step_charts(*args) else None

    def strongest(self, places: NDArray[np.int64]) -> tuple[float, float]:
        """Statistic and threshold, in nats, of the chart among `places` that stands highest over its threshold."""
        limits = self.threshold[:, self.kind[places]]
        share = np.where(limits > 0, self.statistic[:, places] / np.maximum(limits, 1), 0.0)
        chart, place = np.unravel_index(int(share.argmax()), share.shape)
        statistic = int(self.statistic[chart, places[place]])
        return statistic / UNITS_PER_NAT, max(int(limits[chart, place]), 1) / UNITS_PER_NAT


@dataclass(frozen=True, slots=True, eq=False)
class Alarmed:
    """Hit cells of the part whose charts alarm: `cells`, and for each which view says so, and its period or 0."""

    cells: NDArray[np.int64]
    on_part: Hits
    on_sensor: Hits
    period: NDArray[np.uint8]


class MapAlarm:
    """The alarm of one score grid."""

    def __init__(self, grid_shape: tuple[int, int], arl0_frames: float, background: NDArray[np.float64] | None) -> None:
        """Args: grid_shape: (rows, columns); arl0_frames: mean frames between false alarms of the whole map;
        background: (rows, columns) hit probabilities on good parts, None = 0.001 everywhere.
        """
        self.grid_shape = grid_shape
        held = np.full(grid_shape, BACKGROUND) if background is None else np.maximum(background, BACKGROUND)
        n_cells = held.size
        self.background = held.reshape(-1)
        self.watched = class_of(self.background) < len(_CLASSES)
        windows = _any_of_nine(np.where(self.watched.reshape(grid_shape), held, 0.0))
        self.restless = held.reshape(-1) > RESTLESS
        everywhere = np.full(windows.size, float(_any_of_nine(np.minimum(held, RESTLESS)).max()))
        self.cells = ChartBank(held.reshape(-1), arl0_frames / SHARES["cell"], HIT_RATES)
        self.windows = ChartBank(windows.reshape(-1), arl0_frames / SHARES["window"], HIT_RATES)
        self.sensor = ChartBank(everywhere, arl0_frames / SHARES["sensor"], HIT_RATES)
        n_periods = LONGEST_PERIOD - 1
        self.periods = ChartBank(held.reshape(-1), arl0_frames * n_periods / SHARES["period"], HIT_RATES[:1])
        self.hits = np.zeros(n_cells, np.uint64)
        self.sensor_hits = np.zeros(n_cells, np.uint64)
        self.seen = np.uint64(0)

    def update(self, hit: Hits, sensor_of: NDArray[np.int64], elapsed: int) -> Alarmed | None:
        """Take one frame's hits in. Returns: the hit cells that alarm, None when none does.

        Args: hit (n_cells,); sensor_of: for each hit cell, in order, its cell on the sensor, -1 = outside;
            elapsed: frames since the last one, more than 1 when some were lost.
        """
        now = np.flatnonzero(hit)
        on_sensor = np.zeros(hit.size, np.uint8)
        on_sensor[sensor_of[(sensor_of >= 0) & ~self.restless[now]]] = 1
        self.hits = _shifted(self.hits, elapsed) | hit.astype(np.uint64)
        self.sensor_hits = _shifted(self.sensor_hits, elapsed) | on_sensor.astype(np.uint64)
        self.seen = np.uint64((int(self.seen) << min(elapsed, HISTORY_FRAMES) | 1) & _ALL_SEEN)
        flat = hit.view(np.uint8)
        cells = self.cells.update(flat)
        windows = self.windows.update(pool(flat.reshape(self.grid_shape)).reshape(-1))
        sensor = self.sensor.update(pool(on_sensor.reshape(self.grid_shape)).reshape(-1))
        period = np.zeros(now.size, np.uint8)
        bank = self.periods
        rows = (bank.kind, bank.gain[0], bank.loss[0], bank.threshold[0])
        n_periodic = find_periods(now, self.hits, self.seen, *rows, LONGEST_PERIOD, period)
        if cells is None and windows is None and sensor is None and not n_periodic:
            return None
        part = period > 0
        if cells is not None:
            part |= cells[now] > 0
        if windows is not None:
            part |= self._unpool(windows)[now] > 0
        lens = np.zeros(now.size, bool)
        if sensor is not None:
            lens = (sensor_of >= 0) & (self._unpool(sensor)[np.maximum(sensor_of, 0)] > 0)
        kept = part | lens
        return Alarmed(now[kept], part[kept], lens[kept], period[kept])

    def _unpool(self, windows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = self.grid_shape
        spread = np.zeros(self.grid_shape, np.uint8)
        spread[::2, ::2] = windows.reshape((rows + 1) // 2, (columns + 1) // 2)
        return np.asarray(cv2.dilate(spread, np.ones((3, 3), np.uint8)), np.uint8).reshape(-1)

    def windows_of(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """The 3x3 windows that hold any of `cells` (of the part or of the sensor)."""
        grid = np.zeros(self.grid_shape, np.uint8)
        grid.reshape(-1)[cells] = 1
        return np.flatnonzero(pool(grid))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that make up the state, by name, to be saved and filled in place; `seen` comes on top."""
        banks = {"cells": self.cells, "windows": self.windows, "sensor": self.sensor}
        held: dict[str, NDArray[Any]] = {name: bank.statistic for name, bank in banks.items()}
        return held | {"hits": self.hits, "sensor_hits": self.sensor_hits}

    def forget(self, cells: NDArray[np.int64], sensor_cells: NDArray[np.int64]) -> None:
        """Set every chart and hit at these places to zero: the mark is gone, and the next starts from nothing."""
        self.cells.statistic[:, cells] = 0
        self.windows.statistic[:, self.windows_of(cells)] = 0
        self.sensor.statistic[:, self.windows_of(sensor_cells)] = 0
        self.hits[cells] = 0
        self.sensor_hits[sensor_cells] = 0


def pool(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """3x3 windows around every second row and column: 1 where any of the nine cells is, ((h+1)//2, (w+1)//2)."""
    return np.ascontiguousarray(cv2.dilate(grid, np.ones((3, 3), np.uint8))[::2, ::2], np.uint8)


def _any_of_nine(background: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability, were cells independent, that any of a window's nine is hit, for every window of `pool`."""
    none = np.log1p(-np.minimum(background, 0.5))
    total = cv2.boxFilter(none, cv2.CV_64F, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(1.0 - np.exp(total[::2, ::2]), np.float64)


def _shifted(registers: NDArray[np.uint64], elapsed: int) -> NDArray[np.uint64]:
    if elapsed >= HISTORY_FRAMES:
        return np.zeros_like(registers)
    return registers << np.uint64(elapsed)


def run_start(register: int, seen: int, background: float) -> int:
    """Age in frames (0 = the newest) of the frame with which the run of hits most likely began.

    The start that maximises the likelihood ratio of a constant hit rate since then against the background.
    Args: register, seen: bits of the last 64 frames, the newest in bit 0; bit 0 of `register` may be 0.
    """
    best, start = -math.inf, 0
    n_hits = n_seen = 0
    for age in range(HISTORY_FRAMES):
        n_seen += seen >> age & 1
        if not register >> age & 1:
            continue
        n_hits += 1
        rate = min(n_hits / max(n_seen, 1), 0.999)
        misses = n_seen - n_hits
        ratio = n_hits * math.log(rate / background) + misses * math.log((1 - rate) / (1 - background))
        if ratio > best:
            best, start = ratio, age
    return start
