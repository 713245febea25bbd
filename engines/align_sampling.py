"""Compiled inner loops of the alignment that read pictures: sampling, correlation, spread of residuals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U32 = NDArray[np.uint32]

_BINS = 512
_BLOCK = 1024


@kernel
def sample(image: F32, xs: F32, ys: F32, warp: F64, values: F32, inside: F32) -> int:
    """Bilinear samples of `image` (h, w) at warp @ (xs, ys), all (n,); `inside` becomes 1 or 0 and is counted.

    Outside the picture its border is repeated. Returns: how many lie inside.
    """
    flat, row = image.ravel(), np.uint64(image.shape[1])
    place, across, down = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    count = np.float32(0.0)
    for start in range(0, xs.size, _BLOCK):
        stop = min(start + _BLOCK, xs.size)
        use, out = inside[start:stop], values[start:stop]
        _locate(image.shape, xs[start:stop], ys[start:stop], warp, place, across, down, use)
        for i in range(stop - start):
            at = np.uint64(place[i])
            below = at + row
            top = flat[at] + across[i] * (flat[at + np.uint64(1)] - flat[at])
            low = flat[below] + across[i] * (flat[below + np.uint64(1)] - flat[below])
            out[i] = top + down[i] * (low - top)
        for i in range(stop - start):
            count += use[i]
    return int(count)


@kernel
def _locate(
    shape: tuple[int, int], xs: F32, ys: F32, warp: F64, place: U32, across: F32, down: F32, inside: F32
) -> None:
    """Flat place of the upper left of the four pixels around warp @ (xs, ys), and the way on to the next, 0 to 1.

    Apart from the sampling itself, so that it runs on all vector lanes: the sampling alone then takes 1.5 ns a pixel.
    """
    a, b, tx = np.float32(warp[0, 0]), np.float32(warp[0, 1]), np.float32(warp[0, 2])
    c, d, ty = np.float32(warp[1, 0]), np.float32(warp[1, 1]), np.float32(warp[1, 2])
    zero, one, width = np.float32(0.0), np.float32(1.0), np.int32(shape[1])
    right, bottom = np.float32(shape[1] - 1), np.float32(shape[0] - 1)
    for i in range(xs.size):
        u, v = a * xs[i] + b * ys[i] + tx, c * xs[i] + d * ys[i] + ty
        x = u if u > zero else zero
        x = x if x < right else right
        y = v if v > zero else zero
        y = y if y < bottom else bottom
        inside[i] = one if (x == u) & (y == v) else zero
        left = np.int32(x if x < right - one else right - one)
        top = np.int32(y if y < bottom - one else bottom - one)
        across[i], down[i] = x - np.float32(left), y - np.float32(top)
        place[i] = np.uint32(top * width + left)


@kernel
def scale(weight: F32, factor: F32) -> None:
    """`weight` (n,) times `factor` (n,), in place. A loop of its own is compiled to vector lanes; inlined it is not."""
    for i in range(weight.size):
        weight[i] *= factor[i]


@kernel
def energy(values: F32, weight: F32) -> float:
    """Sum of weight * values^2 over (n,) arrays."""
    total = np.float32(0.0)
    for i in range(values.size):
        total += weight[i] * values[i] * values[i]
    return float(total)


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
