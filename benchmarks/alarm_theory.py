"""False-alarm rates and delays of the map alarm by simulation.

A false alarm is too rare to wait for, so it is made likely and weighed (importance sampling). An excursion begins
with a hit while all charts of a place rest at zero and ends at an alarm or when all are back at zero. It is drawn
with a hit rate picked among those the charts are made for, and weighs its probability on good parts over that under
the mixture of these rates. The run length of a place is then the mean time between excursions over the probability
that one ends in an alarm; the map's rate is the sum over its places, which overstates it where they overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel
from pipeline.alarm import BACKGROUND, HIT_RATES, LONGEST_PERIOD, ChartBank, MapAlarm

GRID = (64, 64)
ARL0_FRAMES = 1e6
I64 = NDArray[np.int64]


@kernel
def _excursions(
    gain: I64, loss: I64, threshold: I64, rates: NDArray[np.float64], background: float, n: int, seed: int
) -> tuple[float, float, float]:  # fmt: skip
    """Sum and sum of squares of the weights of those that alarm, and the mean length on good parts."""
    np.random.seed(seed)
    n_charts = gain.size
    statistic = np.zeros(n_charts, np.int64)
    total = squares = length = 0.0
    likelihood = np.zeros(rates.size)
    for drawn in range(2 * n):
        good = drawn >= n  # the second half is drawn as good parts are, for the length
        rate = background if good else rates[np.random.randint(rates.size)]
        statistic[:] = gain
        likelihood[:] = 0.0
        steps = 1
        while True:
            alarm, alive = False, False
            for k in range(n_charts):
                alarm |= threshold[k] > 0 and statistic[k] >= threshold[k]
                alive |= statistic[k] > 0
            if alarm or not alive:
                break
            hit = np.random.random() < rate
            steps += 1
            for k in range(n_charts):
                statistic[k] = statistic[k] + gain[k] if hit else max(statistic[k] - loss[k], 0)
            for j in range(rates.size):
                likelihood[j] += math.log(rates[j] / background if hit else (1 - rates[j]) / (1 - background))
        if good:
            length += steps
        elif alarm:
            top = likelihood.max()
            weight = math.exp(-top) / np.exp(likelihood - top).mean()
            total += weight
            squares += weight * weight
    return total, squares, length / n


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Mean frames between false alarms of one view on the whole map, and the relative error of that (1 sigma)."""

    arl0_frames: float
    relative_error: float


def simulate_bank(bank: ChartBank, background: float, n_places: int, n: int, seed: int) -> FalseAlarms:
    """False alarms of `n_places` places with `bank`'s charts, each hit with probability `background`."""
    kind = int(bank.kind.max())
    gain, loss, threshold = (
        np.ascontiguousarray(array[:, kind], np.int64) for array in (bank.gain, bank.loss, bank.threshold)
    )
    total, squares, length = _excursions(gain, loss, threshold, np.array(HIT_RATES), background, n, seed)
    probability = total / n
    error = math.sqrt(max(squares / n - probability**2, 0.0) / n)
    return FalseAlarms((1 / background + length) / probability / n_places, error / probability)


def false_alarms(n: int, seed: int = 1) -> dict[str, FalseAlarms]:
    """Of each of the alarm's four views, and of the whole map; `n` excursions each."""
    alarm = MapAlarm(GRID, ARL0_FRAMES, None)
    nine = 1.0 - (1.0 - BACKGROUND) ** 9
    n_cells, n_windows = GRID[0] * GRID[1], alarm.windows.kind.size
    views = {
        "cells": simulate_bank(alarm.cells, BACKGROUND, n_cells, n, seed),
        "windows": simulate_bank(alarm.windows, nine, n_windows, n, seed + 1),
        "sensor": simulate_bank(alarm.sensor, nine, n_windows, n, seed + 2),
        "period": simulate_bank(alarm.periods, BACKGROUND, n_cells * (LONGEST_PERIOD - 1), n, seed + 3),
    }
    whole = 1.0 / sum(1.0 / view.arl0_frames for view in views.values())
    error = math.sqrt(sum((whole / view.arl0_frames * view.relative_error) ** 2 for view in views.values()))
    return {**views, "map": FalseAlarms(whole, error)}


def bound_frames(hit_rate: float) -> float:
    """Least mean delay of any alarm with this false-alarm rate, as it grows large (Lorden 1971, theorem 2)."""
    q, p = min(hit_rate, 1 - 1e-12), BACKGROUND
    information = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    return math.log(ARL0_FRAMES * GRID[0] * GRID[1]) / information


def strikes(hit_rate: float, period: int, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which of `n` parts carry the mark: at `hit_rate`, or every `period`-th from a random one on."""
    if period > 1:
        return np.asarray((np.arange(n) + rng.integers(period)) % period == 0)
    return np.asarray(rng.random(n) < hit_rate)


def delays(hit_rate: float, period: int, n_runs: int, longest: int, seed: int) -> NDArray[np.int64]:
    """Parts from the onset to the alarm at the struck cell, the whole map running, good parts going before."""
    place = 33 * GRID[1] + 21
    found = []
    for run in range(n_runs):
        rng = np.random.default_rng([seed, run])
        alarm = MapAlarm(GRID, ARL0_FRAMES, None)
        struck = np.concatenate((np.zeros(64, bool), strikes(hit_rate, period, longest, rng)))
        for number, on in enumerate(struck):
            hit = rng.random(GRID[0] * GRID[1]) < BACKGROUND
            hit[place] |= on
            alarmed = alarm.update(hit, np.flatnonzero(hit), 1)
            if alarmed is not None and number >= 64 and place in alarmed.cells:
                found.append(number - 63)
                break
        else:
            found.append(longest)
    return np.array(found, np.int64)
