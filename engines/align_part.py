"""How well a pose fits: correlation over the part, share of it inside the frame, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.align_sampling import F32, F64, correlation, energy, moments, sample, scale
from engines.geometry import Transform
from engines.kernel import kernel

_MOST_PIXELS = 16384


@dataclass(frozen=True, slots=True)
class Fit:
    """`correlation` over the part (-1 to 1), share `inside` the frame, `sharpness` (1.0: as the template).

    Sharpness is the root mean square of the Laplacian over the contrast of the part, against the template's: a
    blurred picture loses it wherever the part has detail, whether or not the detail is the template's.
    """

    correlation: float
    inside: float
    sharpness: float


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Pixels of the part at working size, (n,) float32 each: place, smoothed grey, prior weight."""

    xs: F32
    ys: F32
    grey: F32
    trust: F32
    crispness: float
    """Weighted mean square of the template's Laplacian over the variance of its grey."""
    middle: NDArray[np.float64]
    """(2,) the middle (x, y) of the part in working pixels."""

    def measure(self, base: F32, pose: Transform) -> Fit:
        """How well `pose` (template px -> working frame px) fits in the smoothed frame `base` (H, W) float32."""
        matrix = np.ascontiguousarray(pose, np.float64)
        fine = laplacian(base)
        found, inside, crisp = _measure(base, fine, self.xs, self.ys, self.grey, self.trust, matrix)
        return Fit(float(found), float(inside), float(np.sqrt(crisp / self.crispness)))


def laplacian(base: F32) -> F32:
    """(H, W) float32 what is left of the smoothed picture `base` when slow changes are taken away."""
    return np.asarray(cv2.Laplacian(base, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE), np.float32)


def build_part(base: F32, trust: F32) -> Part:
    """The part's pixels in the smoothed template `base` (H, W), at most 16384, evenly picked from `trust` >= 0.1."""
    at = np.flatnonzero(trust >= 0.1)
    at = at[:: -(-at.size // _MOST_PIXELS)]
    ys, xs = np.divmod(at, base.shape[1])
    columns, rows = xs.astype(np.float32), ys.astype(np.float32)
    grey, weight = np.ascontiguousarray(base.ravel()[at]), np.ascontiguousarray(trust.ravel()[at])
    nowhere = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    _, _, crispness = _measure(base, laplacian(base), columns, rows, grey, weight, nowhere)
    return Part(columns, rows, grey, weight, max(crispness, 1e-9), np.array([xs.mean(), ys.mean()]))


@kernel
def _measure(base: F32, fine: F32, xs: F32, ys: F32, grey: F32, trust: F32, pose: F64) -> tuple[float, float, float]:
    """Correlation, share inside, and crispness: mean square of `fine` over the variance of `base` on the part."""
    n = xs.size
    values, weight = np.empty(n, np.float32), np.empty(n, np.float32)
    sample(fine, xs, ys, pose, values, weight)
    scale(weight, trust)
    detail = energy(values, weight)
    count = sample(base, xs, ys, pose, values, weight)
    scale(weight, trust)
    total, _, sv, _, svv, _ = moments(grey, values, weight)
    variance = svv - sv * sv / total if total >= 16 else 0.0
    crisp = detail / variance if variance > 0 else 0.0
    return correlation(grey, values, weight), count / n, crisp
