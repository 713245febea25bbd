"""Compiled inner loops of the alignment that read pictures: sampling, correlation, spread of residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_BINS = 512
_BLOCK = 1024


@kernel
def sample(image: F32, xs: F32, ys: F32, warp: F64, values: F32, inside: F32) -> int:
    """Bilinear samples of `image` (h, w) at warp @ (xs, ys), all (n,); `inside` becomes 1 or 0 and is counted.

    Outside the picture its border is repeated. Returns: how many lie inside.
    """
    height, width = image.shape
    a, b, tx = np.float32(warp[0, 0]), np.float32(warp[0, 1]), np.float32(warp[0, 2])
    c, d, ty = np.float32(warp[1, 0]), np.float32(warp[1, 1]), np.float32(warp[1, 2])
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    zero, one = np.float32(0.0), np.float32(1.0)
    flat = image.ravel()
    count = zero
    for i in range(xs.size):
        u = a * xs[i] + b * ys[i] + tx
        v = c * xs[i] + d * ys[i] + ty
        ok = one if (u >= zero and u <= right and v >= zero and v <= bottom) else zero
        u = min(max(u, zero), right)
        v = min(max(v, zero), bottom)
        iu = min(np.int32(u), np.int32(width - 2))
        iv = min(np.int32(v), np.int32(height - 2))
        fu, fv = u - np.float32(iu), v - np.float32(iv)
        at = np.uint64(np.uint32(iv * np.int32(width) + iu))
        below = at + np.uint64(width)
        top = flat[at] + fu * (flat[at + np.uint64(1)] - flat[at])
        low = flat[below] + fu * (flat[below + np.uint64(1)] - flat[below])
        values[i] = top + fv * (low - top)
        inside[i] = ok
        count += ok
    return int(count)


@kernel
def moments(template: F32, values: F32, weight: F32) -> F64:
    """(6,) weighted sums of 1, t, v, t*t, v*v, t*v over (n,) arrays, in blocks so that float32 keeps its digits."""
    out = np.zeros(6)
    for start in range(0, template.size, _BLOCK):
        stop = min(start + _BLOCK, template.size)
        known, seen, use = template[start:stop], values[start:stop], weight[start:stop]
        n = st = sv = stt = svv = stv = np.float32(0.0)
        for i in range(stop - start):
            t, v, w = known[i], seen[i], use[i]
            n += w
            st += w * t
            sv += w * v
            stt += w * t * t
            svv += w * v * v
            stv += w * t * v
        out[0] += n
        out[1] += st
        out[2] += sv
        out[3] += stt
        out[4] += svv
        out[5] += stv
    return out


@kernel
def correlation(template: F32, values: F32, weight: F32) -> float:
    """Weighted normalised correlation of (n,) arrays; 0 where either is flat or fewer than 16 pixels count."""
    n, st, sv, stt, svv, stv = moments(template, values, weight)
    if n < 16:
        return 0.0
    var_t = stt - st * st / n
    var_v = svv - sv * sv / n
    if var_t <= 0.05 * n or var_v <= 0.05 * n:
        return 0.0
    return float((stv - st * sv / n) / np.sqrt(var_t * var_v))


@kernel
def spread(template: F32, values: F32, inside: F32, gain: float, bias: float) -> float:
    """1.4826 times the median of |values - gain * template - bias|, from a histogram up to 8 times the mean."""
    g, b = np.float32(gain), np.float32(bias)
    total = n = np.float32(0.0)
    for i in range(template.size):
        total += inside[i] * abs(values[i] - g * template[i] - b)
        n += inside[i]
    if not (n >= 1 and total > 0):
        return 0.0
    step = np.float32(_BINS) * n / (np.float32(8.0) * total)
    histogram = np.zeros(_BINS, np.int32)
    for i in range(template.size):
        if inside[i] > 0:
            at = np.int32(abs(values[i] - g * template[i] - b) * step)
            histogram[min(int(at), _BINS - 1)] += 1
    seen = 0
    for index in range(_BINS):
        seen += histogram[index]
        if seen * 2 >= n:
            return float(1.4826 * (index + 0.5) / step)
    return 0.0
