"""Compiled inner loops of the refinement: robust inverse-compositional Gauss-Newton on one pyramid level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.align_sampling import F32, F64, moments, sample, scale, spread
from engines.kernel import kernel

_BLOCK = 1024


@kernel
def _normal_equations(
    regressors: F32, values: F32, inside: F32, steep: F32, gain: float, bias: float, cut: float, slack_px: float
) -> F64:
    """(m, m + 1) weighted normal equations of values ~ regressors; the template and ones are the last two rows."""
    m, n = regressors.shape
    out = np.zeros((m, m + 1))
    weight, scaled = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    g, b = np.float32(gain), np.float32(bias)
    flat, slack, one = np.float32(cut), np.float32(slack_px * abs(gain)), np.float32(1.0)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        seen, use, edge = values[start:stop], inside[start:stop], steep[start:stop]
        known = regressors[m - 2, start:stop]
        for i in range(stop - start):
            r = (seen[i] - g * known[i] - b) / (flat + slack * edge[i])
            w = one / (one + r * r)
            weight[i] = use[i] * w * w
        for j in range(m):
            left = regressors[j, start:stop]
            for i in range(stop - start):
                scaled[i] = weight[i] * left[i]
            for k in range(j, m):
                right = regressors[k, start:stop]
                total = np.float32(0.0)
                for i in range(stop - start):
                    total += scaled[i] * right[i]
                out[j, k] += total
            total = np.float32(0.0)
            for i in range(stop - start):
                total += scaled[i] * seen[i]
            out[j, m] += total
    for j in range(m):
        for k in range(j):
            out[j, k] = out[k, j]
    return out


@kernel
def _solve(system: F64, answer: F64) -> bool:
    """Gauss elimination with pivoting, in place. Returns: False when the (m, m + 1) system is singular."""
    m = system.shape[0]
    for j in range(m):
        pivot = j
        for i in range(j + 1, m):
            if abs(system[i, j]) > abs(system[pivot, j]):
                pivot = i
        if not abs(system[pivot, j]) > 1e-7:
            return False
        if pivot != j:
            for k in range(m + 1):
                system[j, k], system[pivot, k] = system[pivot, k], system[j, k]
        for i in range(j + 1, m):
            factor = system[i, j] / system[j, j]
            for k in range(j, m + 1):
                system[i, k] -= factor * system[j, k]
    for j in range(m - 1, -1, -1):
        total = system[j, m]
        for k in range(j + 1, m):
            total -= system[j, k] * answer[k]
        answer[j] = total / system[j, j]
    return True


@kernel
def _step(parameters: F64, n_motion: int, reach: float, aspect: float) -> F64:
    """(2, 3) small warp about the origin with these parameters, each in px at distance `reach`."""
    step = np.zeros((2, 3))
    step[0, 2], step[1, 2] = parameters[0], parameters[1]
    if n_motion == 6:
        step[0, 0], step[0, 1] = 1 + parameters[2] / reach, parameters[3] / reach
        step[1, 0], step[1, 1] = parameters[4] / reach, 1 + parameters[5] / reach
        return step
    size = 1.0 + (parameters[3] / reach if n_motion == 4 else 0.0)
    angle = parameters[2] / reach
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    step[0, 0], step[0, 1] = cos, sin * aspect
    step[1, 0], step[1, 1] = -sin / aspect, cos
    return step


@kernel
def _compose_inverse(warp: F64, step: F64, cx: float, cy: float) -> None:
    """warp <- warp o step^-1, where `step` acts about (cx, cy)."""
    det = step[0, 0] * step[1, 1] - step[0, 1] * step[1, 0]
    ia, ib, ic, id_ = step[1, 1] / det, -step[0, 1] / det, -step[1, 0] / det, step[0, 0] / det
    ox = cx - (ia * (cx + step[0, 2]) + ib * (cy + step[1, 2]))
    oy = cy - (ic * (cx + step[0, 2]) + id_ * (cy + step[1, 2]))
    for row in range(2):
        a, b, t = warp[row, 0], warp[row, 1], warp[row, 2]
        warp[row, 0] = a * ia + b * ic
        warp[row, 1] = a * ib + b * id_
        warp[row, 2] = a * ox + b * oy + t


@kernel
def _rescale(warp: F64, sx: float, sy: float) -> None:
    """`warp` between pixels of one picture <- the same motion between pixels of its resize by (sx, sy)."""
    ox, oy = (sx - 1) / 2, (sy - 1) / 2
    a, b, t = warp[0, 0], warp[0, 1] * sx / sy, warp[0, 2]
    c, d, u = warp[1, 0] * sy / sx, warp[1, 1], warp[1, 2]
    warp[0, 0], warp[0, 1], warp[0, 2] = a, b, sx * t + ox - a * ox - b * oy
    warp[1, 0], warp[1, 1], warp[1, 2] = c, d, sy * u + oy - c * ox - d * oy


@kernel
def refine(
    image: F32,
    xs: F32,
    ys: F32,
    regressors: F32,
    steep: F32,
    trust: F32,
    place: F64,
    warp: F64,
    max_steps: int,
    tolerance_px: float,
    slack_px: float,
) -> int:
    """Better `warp` (2, 3), template px -> image px of this level, in place.

    Model: image(warp(p)) = gain * template(step(p)) + bias. Each step solves the weighted least squares of
    the samples on `regressors` (m, n): steepest-descent images of the motion, the template, ones. Weights are
    Geman-McClure, as wide as 3 robust spreads of the residual plus what `slack_px` of motion does at that
    edge, so that an edge not yet in place is no outlier while a defect is; times the prior `trust` (n,).
    The regressors never change: noise in the image cannot bias the fixed point.

    Args:
        xs, ys, steep: (n,) template pixels and the length of their gradients.
        place: (cx, cy, reach, aspect) of the parametrisation. tolerance_px: stop when a step is shorter.
    Returns: steps taken, 0 or less when the system was singular or the part left the picture.
    Source: Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004, section 3.2; gain and bias as unknowns
        as in Bartoli, "Groupwise geometric and photometric direct image registration", PAMI 2008.
    """
    n, m = xs.size, regressors.shape[0]
    values, inside, answer = np.empty(n, np.float32), np.empty(n, np.float32), np.zeros(m)
    template = regressors[m - 2]
    gain = bias = cut = 0.0
    length = 1e9
    for taken in range(max_steps):
        count = sample(image, xs, ys, warp, values, inside)
        if count < 24 or count * 4 < n:
            return -taken
        scale(inside, trust)
        if taken == 0:
            total, st, sv, stt, _, stv = moments(template, values, inside)
            var = stt - st * st / total
            gain = (stv - st * sv / total) / var if var > 1e-6 else 0.0
            bias = (sv - gain * st) / total
        if taken < 2:
            cut = 3.0 * max(spread(template, values, inside, gain, bias), 0.5)
        slack = max(slack_px, min(length, 1.0))
        system = _normal_equations(regressors, values, inside, steep, gain, bias, cut, slack)
        if not _solve(system, answer):
            return -taken
        gain, bias = answer[m - 2], answer[m - 1]
        if not abs(gain) > 1e-3:
            return -taken
        length = 0.0
        for j in range(m - 2):
            answer[j] /= gain
            length += answer[j] * answer[j]
        length = np.sqrt(length)
        if length > 0.25 * place[2]:
            for j in range(m - 2):
                answer[j] *= 0.25 * place[2] / length
        _compose_inverse(warp, _step(answer, m - 2, place[2], place[3]), place[0], place[1])
        if length < tolerance_px:
            return taken + 1
    return max_steps


@kernel
def agreement(template: F32, values: F32, inside: F32, trust: F32) -> float:
    """How well two pictures of (n,) pixels agree, 0 to 1, however bad a minority of the pixels is; -1 if not at all.

    The trusted mean of 1 / (1 + (r / c)^2), r the residual in the template's grey levels after a robust gain and bias,
    c three tenths of the template's deviation; pixels outside the frame agree with nothing.
    """
    total = everything = np.float32(0.0)
    weight = np.empty(template.size, np.float32)
    for i in range(template.size):
        weight[i] = inside[i] * trust[i]
        everything += trust[i]
    n, st, sv, stt, _, stv = moments(template, values, weight)
    variance = stt / n - (st / n) ** 2 if n >= 16 else 0.0
    if not variance > 0.05:
        return -1.0
    gain = (stv - st * sv / n) / (n * variance)
    bias = (sv - gain * st) / n
    for _ in range(2):
        if not gain > 1e-3:
            return -1.0
        cut = np.float32(0.3 * np.sqrt(variance) * gain)
        g, b, one = np.float32(gain), np.float32(bias), np.float32(1.0)
        total = np.float32(0.0)
        for i in range(template.size):
            r = (values[i] - g * template[i] - b) / cut
            weight[i] = inside[i] * trust[i] / (one + r * r)
            total += weight[i]
        n, st, sv, stt, _, stv = moments(template, values, weight)
        known = stt / n - (st / n) ** 2 if n >= 16 else 0.0
        if not known > 0.05:
            return -1.0
        gain = (stv - st * sv / n) / (n * known)
        bias = (sv - gain * st) / n
    return float(total / everything)


@kernel
def refine_all(
    image: F32,
    xs: F32,
    ys: F32,
    regressors: F32,
    steep: F32,
    trust: F32,
    place: F64,
    size: F64,
    warps: F64,
    max_steps: int,
    tolerance_px: float,
    slack_px: float,
) -> NDArray[np.float64]:
    """Refine every one of `warps` (k, 2, 3), in place, at one level; they are in working pixels.

    Args: size: (sx, sy) of the level's pixels per working pixel. The others as in `refine`.
    Returns: (k,) the `agreement` of each at this level; -1 for those that could not be refined, which keep
        their start.
    """
    scores = np.full(warps.shape[0], -1.0)
    values, inside = np.empty(xs.size, np.float32), np.empty(xs.size, np.float32)
    template = regressors[regressors.shape[0] - 2]
    for k in range(warps.shape[0]):
        warp = warps[k].copy()
        _rescale(warp, size[0], size[1])
        if refine(image, xs, ys, regressors, steep, trust, place, warp, max_steps, tolerance_px, slack_px) <= 0:
            continue
        sample(image, xs, ys, warp, values, inside)
        scores[k] = agreement(template, values, inside, trust)
        _rescale(warp, 1.0 / size[0], 1.0 / size[1])
        warps[k] = warp
    return scores
