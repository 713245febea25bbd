"""A Bernoulli CUSUM whose false-alarm rate is computed, not guessed.

A cell hits on good parts with probability `background`; under a systematic defect it hits with some rate q. The
statistic S <- max(0, S + log-likelihood ratio of q against the background) is kept in integers (eighths of a nat),
so S is a finite Markov chain: its mean run length to a false alarm is the solution of a linear system, and the
state is the same on every machine.
Sources: Page 1954 (CUSUM); Lorden 1971 (its optimality); Brook & Evans 1972 (run length by Markov chain);
Reynolds & Stoumbos 1999 (the Bernoulli CUSUM).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from engines.kernel import kernel

UNITS_PER_NAT = 8
MAX_THRESHOLD = 1024
"""128 nats: no false-alarm rate that anyone asks for needs more."""
_BRACKET = 16


@dataclass(frozen=True, slots=True)
class Chart:
    """What a hit adds, what a miss takes away and where the alarm lies, in eighths of a nat.

    `arl0_frames`: mean frames from zero to a false alarm at `background`.
    """

    hit_rate: float
    background: float
    gain: int
    loss: int
    threshold: int
    arl0_frames: float


def run_length(hit_rate: float, gain: int, loss: int, threshold: int) -> float:
    """Mean frames until the chart, started at zero, reaches `threshold` when it is hit at `hit_rate`.

    L(s) = 1 + q L(s + gain) + (1 - q) L(max(s - loss, 0)), with L = 0 from the threshold on. Exact.
    """
    return float(_solve_chain(hit_rate, gain, loss, threshold))


@kernel
def _solve_chain(hit_rate: float, gain: int, loss: int, threshold: int) -> float:
    """Gaussian elimination inside the band: `loss` rows below the diagonal, `gain` columns above it."""
    band = np.zeros((threshold, loss + gain + 1))  # column j of row s is state s - loss + j
    right = np.ones(threshold)
    for s in range(threshold):
        band[s, loss] += 1.0
        band[s, max(s - loss, 0) - s + loss] -= 1.0 - hit_rate
        if s + gain < threshold:
            band[s, loss + gain] -= hit_rate
    for s in range(threshold):
        for below in range(s + 1, min(s + loss + 1, threshold)):
            factor = band[below, s - below + loss] / band[s, loss]
            if factor != 0.0:
                for state in range(s + 1, min(s + gain + 1, threshold)):
                    band[below, state - below + loss] -= factor * band[s, state - s + loss]
                right[below] -= factor * right[s]
    for s in range(threshold - 1, -1, -1):
        for state in range(s + 1, min(s + gain + 1, threshold)):
            right[s] -= band[s, state - s + loss] * right[state]
        right[s] /= band[s, loss]
    return float(right[0])


@lru_cache(maxsize=1024)
def design_chart(hit_rate: float, background: float, arl0_frames: float) -> Chart | None:
    """The most sensitive chart for `hit_rate` with at least `arl0_frames` between false alarms.

    Returns: None when the background is too near to `hit_rate` for any chart to tell them apart.
    """
    if background * 1.5 >= hit_rate:
        return None
    gain = max(1, round(UNITS_PER_NAT * math.log(hit_rate / background)))
    loss = max(1, round(UNITS_PER_NAT * math.log((1 - background) / (1 - hit_rate))))
    guess = round(UNITS_PER_NAT * math.log(arl0_frames * background))
    low, high = max(1, guess - _BRACKET), max(1, guess) + _BRACKET
    while low > 1 and run_length(background, gain, loss, low) >= arl0_frames:
        low = max(1, low - 2 * _BRACKET)
    while run_length(background, gain, loss, high) < arl0_frames:
        high += 2 * _BRACKET
        if high > MAX_THRESHOLD:
            return None
    while low < high:
        middle = (low + high) // 2
        if run_length(background, gain, loss, middle) >= arl0_frames:
            high = middle
        else:
            low = middle + 1
    return Chart(hit_rate, background, gain, loss, low, run_length(background, gain, loss, low))
