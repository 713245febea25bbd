"""Compiled inner loops of the sequential alarm: integers only, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

I16 = NDArray[np.int16]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]

CAP = 4
"""A statistic stops growing at this many times its threshold, so that it comes down again after a repair."""


@kernel
def step_charts(hit: U8, kind: U8, gain: I16, loss: I16, threshold: I16, statistic: I16, alarm: U8) -> int:
    """One frame's step of every chart of every place. Returns: how many places are hit and at their threshold.

    Args: hit, kind (n,): whether the place is hit, and its background class; gain, loss, threshold
        (n_charts, n_classes), a threshold of 0 marks a chart that is off; statistic (n_charts, n), changed;
        alarm (n,): becomes 1 at those places.
    """
    count = 0
    alarm[:] = 0
    for k in range(statistic.shape[0]):
        for i in range(hit.size):
            c = kind[i]
            limit = np.int32(threshold[k, c])
            if hit[i]:
                s = np.int32(statistic[k, i]) + np.int32(gain[k, c])
                statistic[k, i] = min(s, CAP * limit)
                if limit > 0 and s >= limit and alarm[i] == 0:
                    alarm[i] = 1
                    count += 1
            elif statistic[k, i] > 0:
                statistic[k, i] = max(np.int32(statistic[k, i]) - np.int32(loss[k, c]), np.int32(0))
    return count


@kernel
def find_periods(
    cells: NDArray[np.int64], hits: U64, seen: np.uint64, kind: U8, gain: I16, loss: I16, threshold: I16,
    longest: int, period: U8,
) -> int:  # fmt: skip
    """Run a chart over every k-th frame of a cell's last 64, for k = 2 to `longest`.

    Args: cells: those hit now; hits: each cell's last 64 frames, the newest in bit 0; seen: which of those frames
        were observed; gain, loss, threshold (n_classes,); period (len(cells),): becomes the k whose chart stands
        highest over its threshold, else 0.
    Returns: how many cells alarm.
    """
    count = 0
    one = np.uint64(1)
    for j in range(cells.size):
        period[j] = 0
        c = kind[cells[j]]
        limit = np.int64(threshold[c])
        if limit == 0:
            continue
        best = limit - 1
        register = hits[cells[j]]
        for k in range(2, longest + 1):
            s = np.int64(0)
            for n in range(63 // k, -1, -1):
                at = np.uint64(n * k)
                if (seen >> at) & one:
                    s = s + np.int64(gain[c]) if (register >> at) & one else max(s - np.int64(loss[c]), np.int64(0))
            if s > best:
                best = s
                period[j] = k
        count += period[j] > 0
    return count
