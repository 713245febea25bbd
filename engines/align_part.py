"""How well a pose fits: correlation over the part, share inside the frame, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_sampling import F32, F64, correlation, moments, sample
from engines.geometry import Transform
from engines.kernel import kernel

_MOST_PIXELS = 16384


@dataclass(frozen=True, slots=True)
class Fit:
    """`correlation` over the part (-1 to 1), share `inside` the frame, `sharpness` (1.0: as the template)."""

    correlation: float
    inside: float
    sharpness: float


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Pixels of the part at working size, (n,) float32 each: place, grey, fine contrast, prior weight."""

    xs: F32
    ys: F32
    grey: F32
    fine: F32
    trust: F32
    middle: NDArray[np.float64]
    """(2,) the middle (x, y) of the part in working pixels."""

    def measure(self, frame: F32, pose: Transform) -> Fit:
        """How well `pose` (template px -> working frame px) fits in `frame` (H, W) float32."""
        matrix = np.ascontiguousarray(pose, np.float64)
        found, inside, sharp = _measure(frame, self.xs, self.ys, self.grey, self.fine, self.trust, matrix)
        return Fit(float(found), float(inside), float(sharp))


def build_part(template: F32, trust: F32) -> Part:
    """The part's pixels in `template` (H, W), at most 16384, evenly picked, where `trust` (H, W) is 0.1 or more."""
    fine = template - cv2.GaussianBlur(template, (0, 0), 2.0)
    at = np.flatnonzero(trust >= 0.1)
    at = at[:: -(-at.size // _MOST_PIXELS)]
    ys, xs = np.divmod(at, template.shape[1])
    weight = trust.ravel()[at]
    contrast = fine.ravel()[at]
    contrast -= np.average(contrast, weights=weight)
    return Part(
        xs.astype(np.float32),
        ys.astype(np.float32),
        np.ascontiguousarray(template.ravel()[at], np.float32),
        np.ascontiguousarray(contrast, np.float32),
        np.ascontiguousarray(weight, np.float32),
        np.array([xs.mean(), ys.mean()]),
    )


@kernel
def _measure(frame: F32, xs: F32, ys: F32, grey: F32, fine: F32, trust: F32, pose: F64) -> tuple[float, float, float]:
    """Correlation, share inside, sharpness. Sharpness: contrast along the template's fine pattern over overall gain."""
    n = xs.size
    values, weight = np.empty(n, np.float32), np.empty(n, np.float32)
    count = sample(frame, xs, ys, pose, values, weight)
    own = seen = np.float32(0.0)
    for i in range(n):
        weight[i] *= trust[i]
        own += weight[i] * fine[i] * grey[i]
        seen += weight[i] * fine[i] * values[i]
    found = correlation(grey, values, weight)
    total, st, sv, stt, _, stv = moments(grey, values, weight)
    sharp = 0.0
    if total >= 16 and own > 0 and found > 0:
        gain = (stv - st * sv / total) / (stt - st * st / total)
        sharp = seen / own / gain
    return found, count / n, sharp
