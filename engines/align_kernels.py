"""Compiled inner loops of the alignment: sampling, robust inverse-compositional Gauss-Newton, correlation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.kernel import kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_BINS = 512


@kernel
def sample(image: F32, xs: F32, ys: F32, warp: F64, values: F32, inside: F32) -> int:
    """Bilinear samples of `image` (h, w) at warp @ (xs, ys); `inside` becomes 1 or 0. Returns: how many lie inside."""
    height, width = image.shape
    a, b, tx = np.float32(warp[0, 0]), np.float32(warp[0, 1]), np.float32(warp[0, 2])
    c, d, ty = np.float32(warp[1, 0]), np.float32(warp[1, 1]), np.float32(warp[1, 2])
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    zero = np.float32(0.0)
    flat = image.ravel()
    count = np.float32(0.0)
    for i in range(xs.size):
        u = a * xs[i] + b * ys[i] + tx
        v = c * xs[i] + d * ys[i] + ty
        ok = (u >= zero) & (u <= right) & (v >= zero) & (v <= bottom)
        u = min(max(u, zero), right)
        v = min(max(v, zero), bottom)
        iu = min(np.int32(u), np.int32(width - 2))
        iv = min(np.int32(v), np.int32(height - 2))
        fu = u - np.float32(iu)
        fv = v - np.float32(iv)
        at = iv * np.int32(width) + iu
        top = flat[at] + fu * (flat[at + 1] - flat[at])
        low = flat[at + width] + fu * (flat[at + width + 1] - flat[at + width])
        values[i] = top + fv * (low - top)
        inside[i] = np.float32(1.0) if ok else zero
        count += inside[i]
    return int(count)


@kernel
def _moments(template: F32, values: F32, inside: F32) -> tuple[float, float, float, float, float, float]:
    n = st = sv = stt = svv = stv = 0.0
    for start in range(0, template.size, 1024):
        stop = min(start + 1024, template.size)
        n_ = t_ = v_ = tt_ = vv_ = tv_ = np.float32(0.0)
        for i in range(start, stop):
            t = template[i]
            v = values[i]
            w = inside[i]
            n_ += w
            t_ += w * t
            v_ += w * v
            tt_ += w * t * t
            vv_ += w * v * v
            tv_ += w * t * v
        n += float(n_)
        st += float(t_)
        sv += float(v_)
        stt += float(tt_)
        svv += float(vv_)
        stv += float(tv_)
    return n, st, sv, stt, svv, stv


@kernel
def correlation(template: F32, values: F32, inside: F32) -> float:
    """Normalised correlation over the pixels inside; 0 where either side is flat or fewer than 16 lie inside."""
    n, st, sv, stt, svv, stv = _moments(template, values, inside)
    if n < 16:
        return 0.0
    var_t = stt - st * st / n
    var_v = svv - sv * sv / n
    if var_t <= 1e-3 * n or var_v <= 1e-3 * n:
        return 0.0
    return float((stv - st * sv / n) / np.sqrt(var_t * var_v))


@kernel
def _spread(template: F32, values: F32, inside: F32, gain: float, bias: float) -> float:
    """1.4826 times the median of |residual|, from a histogram up to 8 times the mean."""
    g, b = np.float32(gain), np.float32(bias)
    total = n = 0.0
    for i in range(template.size):
        total += inside[i] * abs(values[i] - g * template[i] - b)
        n += inside[i]
    if n < 1 or total <= 0:
        return 0.0
    step = np.float32(_BINS / (8.0 * total / n))
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


@kernel
def _normal_equations(
    regressors: F32, values: F32, inside: F32, steep: F32, gain: float, bias: float, cut: float, slack_px: float
) -> F64:
    """(m, m + 1) weighted normal equations of values ~ regressors; the template and ones are the last two rows."""
    m, n = regressors.shape
    out = np.zeros((m, m + 1))
    weight = np.empty(1024, np.float32)
    scaled = np.empty(1024, np.float32)
    g, b = np.float32(gain), np.float32(bias)
    flat = np.float32(cut)
    slack = np.float32(slack_px * abs(gain))
    one = np.float32(1.0)
    for start in range(0, n, 1024):
        size = min(1024, n - start)
        template = regressors[m - 2]
        for i in range(size):
            r = (values[start + i] - g * template[start + i] - b) / (flat + slack * steep[start + i])
            w = one / (one + r * r)
            weight[i] = inside[start + i] * w * w
        for j in range(m):
            left = regressors[j]
            for i in range(size):
                scaled[i] = weight[i] * left[start + i]
            for k in range(j, m):
                other = regressors[k]
                total = np.float32(0.0)
                for i in range(size):
                    total += scaled[i] * other[start + i]
                out[j, k] += total
            total = np.float32(0.0)
            for i in range(size):
                total += scaled[i] * values[start + i]
            out[j, m] += total
    for j in range(m):
        for k in range(j):
            out[j, k] = out[k, j]
    return out


@kernel
def _solve(system: F64, answer: F64) -> bool:
    """Gauss elimination with pivoting, in place. Returns: False when the system is singular."""
    m = system.shape[0]
    for j in range(m):
        pivot = j
        for i in range(j + 1, m):
            if abs(system[i, j]) > abs(system[pivot, j]):
                pivot = i
        if not abs(system[pivot, j]) > 1e-9 * max(1.0, abs(system[0, 0])):
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
    """(2, 3) small warp about the origin with these parameters (in px at distance `reach`)."""
    step = np.zeros((2, 3))
    step[0, 2], step[1, 2] = parameters[0], parameters[1]
    if n_motion == 6:
        step[0, 0], step[0, 1] = 1 + parameters[2] / reach, parameters[3] / reach
        step[1, 0], step[1, 1] = parameters[4] / reach, 1 + parameters[5] / reach
        return step
    size = 1.0 + (parameters[3] / reach if n_motion == 4 else 0.0)
    angle = parameters[2] / reach
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    step[0, 0], step[0, 1] = cos, sin / aspect
    step[1, 0], step[1, 1] = -sin * aspect, cos
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
def refine(
    image: F32,
    xs: F32,
    ys: F32,
    regressors: F32,
    steep: F32,
    place: F64,
    warp: F64,
    max_steps: int,
    tolerance_px: float,
    slack_px: float,
) -> tuple[int, float]:
    """Robust inverse-compositional Gauss-Newton of one level; `warp` (2, 3) is bettered in place.

    Model: image(warp(p)) = gain * template(step(p)) + bias. Each step solves the weighted least squares
    of the samples on `regressors` (m, n): the steepest-descent images of the motion, the template, ones.
    Weights are Geman-McClure, their width 3 times the robust spread of the residual. The template side never
    changes, so noise in the image cannot bias the fixed point (Baker and Matthews 2004, "Lucas-Kanade 20
    years on", section 3.2; gain and bias as in Bartoli 2008, "Groupwise geometric and photometric ...").

    Args:
        xs, ys: (n,) template pixels; `place` (cx, cy, reach, aspect) of the parametrisation.
        tolerance_px: stop when a step moves no pixel at distance `reach` by more.
    Returns: steps taken (negative when the system was singular) and the last step's length in px.
    """
    n = xs.size
    m = regressors.shape[0]
    values = np.empty(n, np.float32)
    inside = np.empty(n, np.float32)
    template = regressors[m - 2]
    answer = np.zeros(m)
    gain = bias = 0.0
    length = 1e9
    for taken in range(max_steps):
        count = sample(image, xs, ys, warp, values, inside)
        if count < 24 or count * 4 < n:
            return -taken - 1, length
        if taken == 0:
            total, st, sv, stt, _, stv = _moments(template, values, inside)
            var = stt - st * st / total
            gain = (stv - st * sv / total) / var if var > 1e-6 else 0.0
            bias = (sv - gain * st) / total
        cut = 3.0 * max(_spread(template, values, inside, gain, bias), 0.5)
        slack = max(slack_px, min(length, 1.0))
        system = _normal_equations(regressors, values, inside, steep, gain, bias, cut, slack)
        if not _solve(system, answer):
            return -taken - 1, length
        gain, bias = answer[m - 2], answer[m - 1]
        if abs(gain) < 1e-3:
            return -taken - 1, length
        length = 0.0
        for j in range(m - 2):
            answer[j] /= gain
            length += answer[j] * answer[j]
        length = np.sqrt(length)
        limit = 0.25 * place[2]
        if length > limit:
            for j in range(m - 2):
                answer[j] *= limit / length
        _compose_inverse(warp, _step(answer, m - 2, place[2], place[3]), place[0], place[1])
        if length < tolerance_px:
            return taken + 1, length
    return max_steps, length
